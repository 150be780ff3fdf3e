"use strict";
// Refreshes the page, but not while text in it is selected: replacing the text would clear the selection.
async function refresh() {
  if (!document.hidden && getSelection().isCollapsed) {
    let page;
    try {
      // The address without user and password, with which fetch() would fail.
      const answer = await fetch(location.origin + location.pathname, { cache: "no-store" });
      if (answer.ok) {
        page = new DOMParser().parseFromString(await answer.text(), "text/html");
        document.querySelector("main").replaceWith(page.querySelector("main"));
      }
    } catch {
      // The exporter does not answer. The page shows that, and the next refresh tries again.
    }
    document.getElementById("stale").hidden = Boolean(page);
  }
  setTimeout(refresh, 5000);
}
setTimeout(refresh, 5000);
