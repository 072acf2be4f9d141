"use strict";

// Before and after: two pictures of one photo on top of each other, parted where the slider stands.
for (const viewer of document.querySelectorAll(".viewer")) {
  const stage = viewer.querySelector(".stage");
  const slider = stage.querySelector("input");
  const [photo, left, right] = viewer.querySelectorAll("select");
  const [over, under] = ["over", "under"].map((name) => stage.querySelector(`.${name}-layer img`));
  const [tagLeft, tagRight] = stage.querySelectorAll(".tag");

  const show = () => {
    const find = (role) => document.querySelector(`img[data-photo="${photo.value}"][data-role="${CSS.escape(role)}"]`);
    for (const select of [left, right]) {
      for (const option of select.options) option.disabled = !find(option.value);
      if (!find(select.value)) select.value = select === left ? "input" : "target";
    }
    const [a, b] = [find(left.value), find(right.value)];
    over.src = a.src; over.alt = a.alt; under.src = b.src; under.alt = b.alt;
    tagLeft.textContent = left.value; tagRight.textContent = right.value;
    stage.style.aspectRatio = a.dataset.ratio;
    stage.style.setProperty("--ox", a.dataset.x); stage.style.setProperty("--oy", a.dataset.y);
    slide(slider.value);
  };
  const slide = (percent) => {
    const at = Math.round(Math.min(100, Math.max(0, percent)) * 10) / 10;
    slider.value = at;
    stage.style.setProperty("--at", `${at}%`);
    slider.setAttribute("aria-valuetext", `${Math.round(at)} % ${left.value}, the rest ${right.value}`);
  };
  const follow = (event) => {
    const box = stage.getBoundingClientRect();
    slide(((event.clientX - box.left) / box.width) * 100);
  };
  let held = false;
  stage.addEventListener("pointerdown", (event) => {
    held = true;
    stage.setPointerCapture(event.pointerId);
    slider.focus({ preventScroll: true });
    follow(event);
    event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => held && follow(event));
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { held = false; });
  slider.addEventListener("input", () => slide(slider.value));
  for (const select of [photo, left, right]) select.addEventListener("change", show);
  for (const button of viewer.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => {
      stage.style.setProperty("--zoom", button.dataset.zoom);
      for (const other of viewer.querySelectorAll("[data-zoom]")) other.setAttribute("aria-pressed", other === button);
    });
  }
  show();
}

// Tables that sort by a column: once down, once up.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") !== "descending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.value;
    const order = (a, b) => (isNaN(value(a)) ? value(a).localeCompare(value(b)) : value(a) - value(b));
    const rows = [...table.tBodies[0].rows].sort((a, b) => (down ? -1 : 1) * order(a, b));
    table.tBodies[0].append(...rows);
  }));
}
