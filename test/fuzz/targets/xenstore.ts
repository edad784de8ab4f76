import { entries, type Frame, FrameReader, strings } from '../../../native/node-xenstore/src/frame.js';
import { parseBackendPath } from '../../../src/model/vif-id.js';
import type { Target } from '../targets.js';

const frame = (id: number, ...body: number[]): Buffer => {
  const header = Buffer.alloc(12);
  header.writeUInt32LE(12 + body.length, 0);
  header.writeUInt32LE(id, 4);
  return Buffer.concat([header, Buffer.from(body)]);
};

/** The frames of the thread that speaks with xenstored, in pieces, with what any writer of xenstore may have put into them. */
export const xenstore: Target = {
  name: 'xenstore',
  seeds: [
    frame(0, ...Buffer.from('backend/vif/5/0/state\0token\0')),
    frame(7, 0, 0, 0, 0, 12, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 105, 112, 49, 48),
    Buffer.concat([frame(1), frame(9, 2, 0, 0, 0, 0, 0, 0, 0)]),
  ],
  words: ['backend/vif/5/0', 'backend/vif', '/local/domain/0/', '\0', '/'],
  longest: 300,
  run(input) {
    const frames: Frame[] = [];
    const reader = new FrameReader();
    try {
      for (const piece of [input.subarray(0, input.length >> 1), input.subarray(input.length >> 1)])
        for (const one of reader.push(piece)) frames.push(one);
    } catch (error) {
      // It ends the connection, and those before it have been handled.
      if (!/a frame of \d+ bytes/.test(String(error))) throw error;
    }
    for (const one of frames) {
      parseBackendPath(one.event().path);
      try {
        for (const { data } of one.results()) [...entries(data), ...strings(data)].length.toFixed();
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    }
  },
};
