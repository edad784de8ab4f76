import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** How long a request may take to arrive, from when its connection was opened or its last answer was given, in ms. */
const arrivalMs = 5000;
/** The longest pause that a timer takes. */
const never = 2 ** 31 - 1;

/**
 * Options of an HTTP server whose connections {@link limitRequests} watches. Node's own limits (`requestTimeout`) are kept by a
 * timer that wakes the process for as long as the server listens.
 */
export const withoutChecks = { requestTimeout: 0, headersTimeout: 0, connectionsCheckingInterval: never };

/** Ends connections that have no whole request within its time: a slow or silent client. One that is being answered stays. */
export function limitRequests(server: Server): void {
  const timers = new WeakMap<Socket, NodeJS.Timeout>();
  const awaitRequest = (socket: Socket): void => {
    clearTimeout(timers.get(socket));
    const end = (): void => {
      socket.end('HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n', () => socket.destroy());
    };
    timers.set(socket, setTimeout(end, arrivalMs).unref());
  };
  server.on('connection', (socket) => {
    awaitRequest(socket);
    socket.once('close', () => clearTimeout(timers.get(socket)));
  });
  server.on('request', ({ socket }, response) => {
    clearTimeout(timers.get(socket));
    response.once('close', () => {
      if (!socket.destroyed) awaitRequest(socket);
    });
  });
}
