import { describe, expect, test } from 'vitest';
import { JsonSplitter } from '../../../../src/host/ovsdb/json-splitter.js';

const messages = [
  '{"id":1,"result":[]}',
  '{"method":"echo","params":["}{","\\"}","\\\\"],"id":"echo"}',
  '{"a":{"b":[{"c":"ü€𝄞"},{}]}}',
  '{}',
];

describe('a stream of objects is cut', () => {
  test('when they come in one piece', () => {
    expect(new JsonSplitter().push(messages.join(''))).toEqual(messages);
  });

  test('when they come character by character', () => {
    const splitter = new JsonSplitter();
    expect(
      messages
        .join('')
        .split('')
        .flatMap((piece) => splitter.push(piece)),
    ).toEqual(messages);
  });

  test('wherever one piece ends', () => {
    const text = messages.join('\n');
    for (let at = 0; at <= text.length; at++) {
      const splitter = new JsonSplitter();
      const cut = [...splitter.push(text.slice(0, at)), ...splitter.push(text.slice(at))];
      expect(cut.map((part) => part.trim())).toEqual(messages);
    }
  });

  test('and what is no object is refused', () => {
    expect(() => new JsonSplitter().push('HTTP/1.1 400')).toThrow('"H"');
    expect(() => new JsonSplitter().push('{}}')).toThrow('"}"');
  });
});
