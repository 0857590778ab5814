"""The style and the script of the page that `page=true` writes. Nothing in them comes from a file."""

STYLE = """
:root { --back: #f6f6f4; --card: #fff; --ink: #1d1d1f; --soft: #5f6368; --edge: #d6d6d2; --mark: #0b63ce; }
@media (prefers-color-scheme: dark) {
  :root { --back: #161618; --card: #222225; --ink: #ececee; --soft: #a4a7ad; --edge: #3a3a3e; --mark: #6cb0ff; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.45 system-ui, sans-serif; }
header, main { max-width: 1100px; margin: 0 auto; padding: 12px 16px; }
header p, .hint { margin: 0; color: var(--soft); font-size: 14px; }
h1 { margin: 0; font-size: 20px; overflow-wrap: anywhere; }
figure { margin: 0; }
#frame { position: relative; margin: 0 auto; overflow: hidden; border-radius: 8px; background: var(--card);
  user-select: none; -webkit-user-select: none; }
#frame img { position: absolute; inset: 0; width: 100%; height: 100%; display: block; }
#frame.small img, #before.pixels { image-rendering: pixelated; }
#line { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px; background: #fff;
  box-shadow: 0 0 4px #000; pointer-events: none; }
#line::after { content: "\\2194"; position: absolute; top: 50%; left: 50%; width: 36px; height: 36px;
  margin: -18px 0 0 -18px; border-radius: 50%; background: #fff; color: #222; font: 20px/36px sans-serif;
  text-align: center; box-shadow: 0 0 6px #0008; }
#slider { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize;
  touch-action: pan-y pinch-zoom; }
#frame:focus-within { outline: 3px solid var(--mark); outline-offset: 2px; }
.tag { position: absolute; top: 8px; padding: 1px 8px; border-radius: 10px; background: #000a; color: #fff;
  font-size: 13px; pointer-events: none; z-index: 1; }
.left { left: 8px; } .right { right: 8px; }
figcaption { display: flex; align-items: center; justify-content: space-between; gap: 8px; padding: 8px 0; }
figcaption > span { text-align: center; overflow-wrap: anywhere; min-width: 0; }
#name { font-weight: 600; } #about { display: block; color: var(--soft); font-size: 14px; }
button { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--edge); border-radius: 8px;
  cursor: pointer; }
button:focus-visible { outline: 3px solid var(--mark); }
figcaption button { flex: none; width: 44px; height: 44px; font-size: 24px; line-height: 1; }
#list { list-style: none; margin: 12px 0; padding: 0; display: grid; gap: 8px;
  grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)); }
#list button { width: 100%; padding: 4px; }
#list button[aria-current] { border-color: var(--mark); box-shadow: 0 0 0 2px var(--mark); }
#list img { width: 100%; height: 96px; object-fit: contain; display: block; }
#list .b { display: none; }
#list bdi { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-size: 12px; }
"""

SCRIPT = """
"use strict";
const find = (id) => document.getElementById(id);
const all = [...document.querySelectorAll("#list button")];
const slider = find("slider"), frame = find("frame");
let shown = 0, ratio = 1;
function slide() {
  find("before").style.clipPath = "inset(0 " + (100 - slider.value) + "% 0 0)";
  find("line").style.left = slider.value + "%";
}
function fit() {
  const wide = Math.min(frame.parentNode.clientWidth, Math.max(240, innerHeight * 0.7) * ratio);
  frame.style.width = wide + "px";
  frame.style.height = wide / ratio + "px";
}
function show(number) {
  shown = (number + all.length) % all.length;
  const chosen = all[shown];
  for (const other of all) other.removeAttribute("aria-current");
  chosen.setAttribute("aria-current", "true");
  ratio = Number(chosen.dataset.ratio);
  frame.classList.toggle("small", "small" in chosen.dataset);
  find("before").classList.toggle("pixels", "enlarged" in chosen.dataset);
  find("after").src = chosen.querySelector(".a").src;
  find("before").src = chosen.querySelector(".b").src;
  find("name").textContent = chosen.querySelector("bdi").textContent;
  find("about").textContent = chosen.dataset.about;
  fit();
  slide();
}
function drag(event) {
  if (event.type === "pointerdown" || event.buttons) {
    const box = frame.getBoundingClientRect();
    slider.value = 100 * (event.clientX - box.left) / box.width;
    slide();
  }
}
if (all.length) {
  find("stage").hidden = false;
  all.forEach((button, number) => button.addEventListener("click", () => {
    show(number);
    find("stage").scrollIntoView({block: "nearest"});
  }));
  slider.addEventListener("input", slide);
  slider.addEventListener("pointerdown", drag);
  slider.addEventListener("pointermove", drag);
  find("previous").addEventListener("click", () => show(shown - 1));
  find("next").addEventListener("click", () => show(shown + 1));
  addEventListener("resize", fit);
  addEventListener("keydown", (event) => {
    const step = {PageUp: -1, PageDown: 1}[event.key];
    if (step) { event.preventDefault(); show(shown + step); }
    const move = {ArrowLeft: -2, ArrowRight: 2, Home: -100, End: 100}[event.key];
    if (move) { event.preventDefault(); slider.value = Number(slider.value) + move; slide(); }
  });
  show(0);
}
"""
