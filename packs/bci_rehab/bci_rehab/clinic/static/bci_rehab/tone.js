/* Short tones for who does not look: a cue, and how the trial ended. Off until asked for. */

const PITCHES = { cue: 660, active: 880, hit: 1320, quiet: 1320, miss: 330, wrong: 330, false_trigger: 330 };
const LENGTH_S = 0.18;
const VOLUME = 0.12;

export class Tone {
  constructor() { this.isOn = false; }

  toggle() {
    this.isOn = !this.isOn;
    this.context ??= new AudioContext();
    if (this.isOn) this.context.resume();
    this.play("cue");
  }

  play(what) {
    const pitch = PITCHES[what];
    if (!this.isOn || !pitch) return;
    const { context } = this;
    const begins = context.currentTime;
    const source = new OscillatorNode(context, { frequency: pitch });
    const level = new GainNode(context, { gain: 0 });
    level.gain.linearRampToValueAtTime(VOLUME, begins + 0.02);
    level.gain.linearRampToValueAtTime(0, begins + LENGTH_S);
    source.connect(level).connect(context.destination);
    source.start(begins);
    source.stop(begins + LENGTH_S);
  }
}
