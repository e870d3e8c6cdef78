// Shows how far a run is, once a second, and loads the page anew when it has come to its end.
"use strict";
const box = document.getElementById("progress");
const words = { "asked for": "Waiting for a fetcher …", reading: "Reading the mailbox …" };

async function look() {
  try {
    const answer = await fetch(box.dataset.url, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(answer.status);
    const seen = await answer.json();
    if (!seen.is_live) return location.reload();
    for (const part of box.querySelectorAll("[data-show]")) {
      const value = seen[part.dataset.show];
      part.textContent = words[value] || (typeof value === "number" ? value.toLocaleString("en") : value);
    }
    const bar = box.querySelector("progress");
    bar.max = seen.found || 1;
    bar.value = seen.judged;
  } catch {
    // a server that is away for a moment: ask again
  }
  setTimeout(look, 1000);
}

if (box && box.dataset.live) setTimeout(look, 1000);
