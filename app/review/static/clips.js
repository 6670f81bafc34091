// Clips from the server, kept for a moment so that the next one is there before it is asked for.

import { get } from "./api.js";

const FRESH_MS = 3000;

export class Clips {
  constructor(frames) {
    this.frames = frames;
    this.kept = new Map();
    this.measured = new Map();
  }

  /** A clip: at once if it was fetched ahead. `stale` says that it should be asked for again. */
  async get(id) {
    const kept = this.kept.get(id);
    if (!kept) return { data: await this.fetch(id), stale: false };
    const data = await kept.data;
    return { data, stale: performance.now() - kept.at > FRESH_MS };
  }

  fetch(id) {
    const data = get(`/api/clip/${id}`);
    this.kept.set(id, { data, at: performance.now() });
    data.catch(() => this.forget(id));
    return data;
  }

  forget(id) {
    this.kept.delete(id);
  }

  /** What the machine measures and draws on a frame; remembered. */
  onFrame(id, k) {
    const key = `${id}/${k}`;
    if (!this.measured.has(key)) {
      const answer = get(`/api/clip/${id}/frame/${k}`);
      answer.catch(() => this.measured.delete(key));
      this.measured.set(key, answer);
    }
    return this.measured.get(key);
  }

  /** Fetch a clip, its first picture and its outline ahead. Failing is no harm. */
  async ahead(id) {
    if (!id) return;
    try {
      const { data } = await this.get(id);
      if (!data.problem) await this.frames.get(id, firstFrame(data));
      if (hasOutline(data)) await this.onFrame(id, data.measurement.frame);
    } catch {
      // it is asked for again when it is wanted
    }
  }
}

/** The frame that is shown first: that of the correction, or the one that speaks for the clip. */
export function firstFrame({ review, frame }) {
  return (review?.action === "correct" ? review.frame : null) ?? frame;
}

/** Whether the machine has drawn something that may be shown. */
export function hasOutline({ blind, problem, measurement }) {
  return !blind && !problem && Boolean(measurement?.calipers);
}
