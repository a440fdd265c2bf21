/* The station's monotonic clock on this page: seconds since which the stream's times count. */

export class StationClock {
  /* The least delay seen is nearest to the truth; it is let grow, for clocks drift apart. */
  hear(atS) {
    const offset = performance.now() / 1000 - atS;
    if (this.offset === undefined || offset < this.offset) this.offset = offset;
    else this.offset += Math.min(offset - this.offset, 0.001);
  }

  get now() { return this.offset === undefined ? 0 : performance.now() / 1000 - this.offset; }
}
