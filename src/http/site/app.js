"use strict";
// Shows what the page has become. It is not replaced while somebody marks text in it to copy it.
async function refresh() {
  if (!document.hidden && getSelection().isCollapsed) {
    let page;
    try {
      // The address without the password that may stand in it.
      const answer = await fetch(location.origin + location.pathname, { cache: "no-store" });
      if (answer.ok) {
        page = new DOMParser().parseFromString(await answer.text(), "text/html");
        document.querySelector("main").replaceWith(page.querySelector("main"));
      }
    } catch {
      // Nobody answers: the page says so, and it is tried again.
    }
    document.getElementById("stale").hidden = Boolean(page);
  }
  setTimeout(refresh, 5000);
}
setTimeout(refresh, 5000);
