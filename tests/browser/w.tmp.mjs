import { chromium } from "playwright-core";
const b = await chromium.launch({executablePath:"/usr/bin/chromium",headless:true,args:["--no-sandbox","--disable-gpu"]});
for (const w of [1000,390]) for (const path of ["/","/logs","/traces","/alerts","/explore?expr=node_load1"]) {
const p = await b.newPage({viewport:{width:w,height:800}}); await p.goto("http://127.0.0.1:9377"+path); await p.waitForLoadState("networkidle");
console.log(w,path,await p.evaluate(()=>[document.documentElement.scrollWidth,...[...document.querySelectorAll("body *")].filter(e=>e.getBoundingClientRect().right>innerWidth+1&&!e.closest(".scroll")).slice(0,6).map(e=>e.tagName+"."+(e.className.baseVal??e.className)+" "+Math.round(e.getBoundingClientRect().right))]));
await p.screenshot({path:`/tmp/shots/w${w}-${path.slice(1,4)||"ov"}.png`});
await p.close(); }
await b.close();
