// SPDX-License-Identifier: Apache-2.0
// Says the figure under finger or pointer above its chart; without it the table below has them all.
"use strict";
for (const kind of ["pointerover", "pointerdown"]) {
  document.addEventListener(kind, (event) => {
    const bar = event.target.closest?.(".chart g[data-text]");
    if (!bar) return;
    const chart = bar.closest(".chart");
    chart.querySelector(".pointed").value = bar.dataset.text;
    chart.querySelector("g.chosen")?.classList.remove("chosen");
    bar.classList.add("chosen");
  });
}
