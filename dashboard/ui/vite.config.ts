// How the page is bundled, and where `npm run dev` finds a collector.
import { defineConfig } from "vite";

const collector = process.env["BINNACLE_URL"] ?? "http://127.0.0.1:9090";

export default defineConfig({
  build: {
    target: "es2022",
    // One script and one style sheet: the page is small, and a second round trip costs more than it saves.
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    reportCompressedSize: true,
  },
  server: {
    host: "127.0.0.1",
    proxy: Object.fromEntries(["/api", "/loki", "/jaeger"].map((path) => [path, collector])),
  },
});
