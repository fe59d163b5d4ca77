// Starts the page.
import { render } from "preact";
render(<main>Binnacle</main>, document.getElementById("app")!);
