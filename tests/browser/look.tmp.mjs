import { chromium } from "playwright-core";
const base = process.argv[2], out = "/tmp/shots"; import { mkdirSync } from "node:fs"; mkdirSync(out, {recursive:true});
const b = await chromium.launch({executablePath:"/usr/bin/chromium",headless:true,args:["--no-sandbox","--disable-gpu","--disable-quic","--no-first-run","--disable-background-networking","--disable-component-update","--disable-sync","--disable-extensions"]});
const only = process.argv[3]?.split(",");
for (const theme of ["dark","light"]) {
  const p = await b.newPage({viewport:{width:1440,height:900},colorScheme:theme});
  p.on("console",m=>m.type()==="error"&&console.log("CONSOLE",m.text())); p.on("pageerror",e=>console.log("PAGEERR",e.stack));
  const shot=async(name,path,act)=>{ if(only&&!only.includes(name))return; await p.goto(base+path); await p.waitForLoadState("networkidle"); if(act) await act(p); await p.waitForTimeout(400); await p.screenshot({path:`${out}/${name}-${theme}.png`,fullPage: false}); console.log(name,theme)};
  await shot("overview","/");
  await shot("container","/",async p=>{await p.click('#containers a:has-text("payments")'); await p.waitForLoadState("networkidle")});
  await shot("logs","/logs?search=order",async p=>{await p.locator('.entry-toggle').first().click()});
  await shot("traces","/traces");
  await shot("trace","/traces?errors=1",async p=>{await p.locator('table.traces a').first().click(); await p.waitForLoadState("networkidle"); await p.locator('.span.failed .span-row').last().click()});
  await shot("alerts","/alerts");
  await shot("explore","/explore?expr="+encodeURIComponent('sum by (container) (rate(container_cpu_usage_seconds_total[2m]))'));
  await p.close();
}
await b.close();
