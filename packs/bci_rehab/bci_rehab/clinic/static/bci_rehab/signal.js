/* The signal, stacked, drawn by uPlot as often as the station tells something new. */
import { Samples } from "./samples.js";

const LONGEST_S = 20;
const ROW_PIXELS = 22;
const LEAST_PIXELS = 300;
const MOST_PIXELS = 900;

/* A custom property may hold light-dark(); a canvas needs what it comes to. */
function colour(name) {
  const probe = document.createElement("span");
  probe.className = `bci-colour-${name}`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

export class Signal {
  constructor(place, channels, rateHz, step) {
    this.place = place;
    this.channels = channels;
    this.samples = new Samples(channels.length, rateHz / step, LONGEST_S);
    this.scale = 50;
    this.span = 5;
    this.isHeld = false;
    this.draw();
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(place);
  }

  size() {
    const rows = this.channels.length * ROW_PIXELS + 40;
    const height = Math.min(Math.max(rows, LEAST_PIXELS), MOST_PIXELS);
    return { width: Math.max(this.place.clientWidth, 200), height };
  }

  add(signal) {
    this.samples.add(signal);
    if (!this.isHeld && !document.hidden) this.show();
  }

  show() { this.plot.setData(this.samples.stacked(this.span, this.scale)); }

  look({ scale = this.scale, span = this.span }) {
    this.scale = scale;
    this.span = span;
    this.show();
  }

  draw() {
    const count = this.channels.length;
    const line = colour("line");
    const text = colour("text");
    const pen = colour("pen");
    const axis = { stroke: text, font: "12px sans-serif", ticks: { show: false } };
    const every = Math.ceil((count * 13) / (this.size().height - 40));
    const rows = this.channels.map((_unused, row) => -row).filter((row) => row % every === 0);
    this.plot = new uPlot({
      ...this.size(),
      legend: { show: false },
      cursor: { show: false },
      select: { show: false },
      scales: {
        x: { time: false, range: () => [-this.span, 0] },
        y: { range: () => [-count + 0.3, 0.7] },
      },
      axes: [
        { ...axis, size: 30, grid: { stroke: line, width: 1 }, values: (_plot, at) => at.map((s) => `${s} s`) },
        {
          ...axis,
          size: 52,
          grid: { show: false },
          splits: () => rows,
          values: () => rows.map((row) => this.channels[-row]),
        },
      ],
      series: [{}, ...this.channels.map(() => ({ stroke: pen, width: 1, points: { show: false } }))],
    }, this.samples.stacked(this.span, this.scale), this.place);
  }
}
