/* The last seconds of each channel, in rings; what is missing is a gap, never a line. */

export class Samples {
  constructor(count, rateHz, seconds) {
    this.rateHz = rateHz;
    this.size = Math.ceil(rateHz * seconds);
    this.rings = Array.from({ length: count }, () => new Float32Array(this.size).fill(NaN));
    this.end = 0;
    this.next = undefined;
  }

  /* first and step count the device's samples; a jump of first is a gap. */
  add({ first, step, microvolts }) {
    if (first === null || !microvolts.length) return;
    const lost = this.next === undefined ? 0 : Math.round((first - this.next) / step);
    for (let gap = 0; gap < Math.min(Math.max(lost, 0), this.size); gap += 1) this.put(null);
    for (const row of microvolts) this.put(row);
    this.next = first + step * microvolts.length;
  }

  put(row) {
    const at = this.end % this.size;
    for (let channel = 0; channel < this.rings.length; channel += 1) {
      this.rings[channel][at] = row?.[channel] ?? NaN;
    }
    this.end += 1;
  }

  /* The channels one below the other, around their own means: [times, channel, channel, ...]. */
  stacked(seconds, scale) {
    const length = Math.min(Math.round(seconds * this.rateHz), this.size);
    const begin = this.end - length;
    const times = Array.from({ length }, (_unused, index) => (index + 1 - length) / this.rateHz);
    return [times, ...this.rings.map((ring, channel) => this.line(ring, begin, length, scale, channel))];
  }

  line(ring, begin, length, scale, channel) {
    const values = new Array(length);
    let sum = 0;
    let count = 0;
    for (let index = 0; index < length; index += 1) {
      const at = begin + index;
      const value = at < 0 ? NaN : ring[at % this.size];
      values[index] = value;
      if (value === value) { sum += value; count += 1; }
    }
    const mean = count ? sum / count : 0;
    for (let index = 0; index < length; index += 1) {
      const value = values[index];
      values[index] = value === value ? (value - mean) / (2 * scale) - channel : null;
    }
    return values;
  }
}
