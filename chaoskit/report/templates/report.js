// The read-out under the pointer. Without it, the same texts are the titles of the shapes.
"use strict";
(function () {
  const holder = document.getElementById("run-chart");
  const under = holder && holder.querySelector(".over");
  if (!under) return;
  const said = JSON.parse(document.getElementById("said").textContent);
  const [plot, line, box] = ["reader", "cursor", "readout"].map(function (name) {
    const made = document.createElement("div");
    made.className = name;
    return made;
  });
  plot.append(line, box);
  under.after(plot);

  function textAt(row, at) {
    let low = 0, high = row.at.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (row.at[middle] <= at) low = middle + 1; else high = middle;
    }
    return low ? row.text[low - 1] : "–";
  }

  function show(share) {
    const at = said.began + share * said.span;
    line.style.left = share * 100 + "%";
    const table = document.createElement("table");
    const head = table.createCaption();
    head.textContent = at.toFixed(2) + " s";
    for (const row of said.rows) {
      const tr = table.insertRow();
      tr.insertCell().textContent = row.name;
      tr.insertCell().textContent = textAt(row, at);
    }
    box.replaceChildren(table);
    box.classList.toggle("flipped", share > 0.5);
    plot.classList.add("reading");
  }

  let last = 0.5;
  holder.addEventListener("pointermove", function (event) {
    const area = plot.getBoundingClientRect();
    const share = (event.clientX - area.left) / area.width;
    if (share < 0 || share > 1) return hide();
    last = share;
    box.style.top = Math.min(Math.max(event.clientY - area.top - 60, 0), Math.max(area.height - box.offsetHeight, 0)) + "px";
    show(share);
  });
  function hide() { plot.classList.remove("reading"); }
  holder.addEventListener("pointerleave", hide);
  holder.addEventListener("blur", hide);
  holder.addEventListener("keydown", function (event) {
    const step = { ArrowLeft: -0.005, ArrowRight: 0.005 }[event.key];
    if (!step) return;
    event.preventDefault();
    last = Math.min(Math.max(last + step, 0), 1);
    show(last);
  });
})();
