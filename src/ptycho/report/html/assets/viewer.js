// Maps that are looked at together: wheel and drag move all of a group, the pointer reads the value of each.
"use strict";

const NOTHING = 65535; // the quantised value of a pixel that nothing is known of
const DEEPEST = 64;
const UNITS = [["m", 1], ["mm", 1e-3], ["µm", 1e-6], ["nm", 1e-9], ["pm", 1e-12]];

function quantised(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new DataView(bytes.buffer);
}

class PixelMap {
  constructor(figure) {
    this.window = figure.querySelector(".window");
    this.layer = figure.querySelector(".layer");
    this.bar = figure.querySelector(".scale-bar");
    this.marker = figure.querySelector(".marker");
    this.readout = figure.querySelector("output");
    this.unit = figure.dataset.unit;
    this.least = Number(figure.dataset.least);
    this.most = Number(figure.dataset.most);
    this.values = quantised(figure.dataset.values);
  }

  at(index) {
    const level = this.values.getUint16(2 * index, true);
    return level === NOTHING ? null : this.least + ((this.most - this.least) * level) / (NOTHING - 1);
  }
}

class Group {
  constructor(root) {
    this.height = Number(root.dataset.height);
    this.width = Number(root.dataset.width);
    this.step = Number(root.dataset.step); // scan px in a pixel of the map
    this.top = Number(root.dataset.top);
    this.left = Number(root.dataset.left);
    this.pixel = root.dataset.pixel ? Number(root.dataset.pixel) : null; // m
    this.maps = [...root.querySelectorAll("figure.map")].map((figure) => new PixelMap(figure));
    this.reset();
    for (const map of this.maps) this.listen(map.window);
  }

  listen(target) {
    target.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 300), ...this.place(target, event));
    }, { passive: false });
    target.addEventListener("pointerdown", (event) => target.setPointerCapture(event.pointerId));
    target.addEventListener("pointermove", (event) => {
      const wide = target.clientWidth;
      if (event.buttons & 1) this.move(event.movementX / wide, event.movementY / wide);
      this.read(...this.place(target, event));
    });
    target.addEventListener("pointerleave", () => this.read(-1, -1));
    target.addEventListener("dblclick", () => this.reset());
    target.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const middle = [0.5, (0.5 * this.height) / this.width];
    const actions = {
      "+": () => this.zoom(1.5, ...middle), "=": () => this.zoom(1.5, ...middle), "-": () => this.zoom(1 / 1.5, ...middle),
      "0": () => this.reset(), "ArrowLeft": () => this.move(0.1, 0), "ArrowRight": () => this.move(-0.1, 0),
      "ArrowUp": () => this.move(0, 0.1), "ArrowDown": () => this.move(0, -0.1),
    };
    if (!(event.key in actions) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    actions[event.key]();
  }

  // Lengths on the screen are in fractions of the width of a window, so that windows of any size agree.
  place(target, event) {
    const box = target.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.width];
  }

  reset() {
    this.scale = 1;
    this.x = this.y = 0;
    this.draw();
  }

  zoom(factor, x, y) {
    const scale = Math.min(Math.max(this.scale * factor, 1), DEEPEST);
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.move(0, 0);
  }

  move(x, y) {
    const aspect = this.height / this.width;
    this.x = Math.min(0, Math.max(1 - this.scale, this.x + x));
    this.y = Math.min(0, Math.max(aspect * (1 - this.scale), this.y + y));
    this.draw();
  }

  draw() {
    const down = (this.y * this.width) / this.height;
    for (const map of this.maps) {
      map.layer.style.transform = `translate(${100 * this.x}%, ${100 * down}%) scale(${this.scale})`;
      this.drawBar(map.bar);
    }
  }

  drawBar(bar) {
    const whole = (this.width * this.step * (this.pixel ?? 1)) / this.scale; // across the window, m or px
    const power = 10 ** Math.floor(Math.log10(whole * 0.3));
    const length = power * [5, 2, 1].find((digit) => digit * power <= whole * 0.3);
    const [unit, size] = this.pixel === null ? ["px", 1] : UNITS.find(([, size]) => length >= size) ?? UNITS.at(-1);
    bar.style.width = `${(100 * length) / whole}%`;
    bar.textContent = `${Number((length / size).toPrecision(2))} ${unit}`;
  }

  read(x, y) {
    const column = Math.floor(((x - this.x) / this.scale) * this.width);
    const row = Math.floor(((y - this.y) / this.scale) * this.width);
    const inside = column >= 0 && row >= 0 && column < this.width && row < this.height;
    const middle = (this.step - 1) / 2;
    for (const map of this.maps) {
      map.marker.hidden = !inside;
      map.readout.textContent = "";
      if (!inside) continue;
      map.marker.style.left = `${100 * x}%`;
      map.marker.style.top = `${(100 * y * this.width) / this.height}%`;
      const value = map.at(row * this.width + column);
      const words = value === null ? "not covered" : `${value.toPrecision(4)} ${map.unit}`.trim();
      map.readout.textContent = `${words} at x ${this.left + column * this.step + middle}, y ${this.top + row * this.step + middle} px`;
    }
  }
}

for (const root of document.querySelectorAll(".linked")) new Group(root);
for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", () => navigator.clipboard.writeText(button.previousElementSibling.textContent));
}
