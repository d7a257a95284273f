import type { Socket } from "node:net";

/**
 * Closes a connection with a reset (TCP RST), at once. One that is not open yet, or is just being shut down, can only
 * be closed: node would wait for the former, and for the latter it would fail and leave the descriptor open.
 */
export function resetSocket(socket: Socket): void {
  const shuttingDown = socket.writableEnded && !socket.writableFinished;
  if (socket.connecting || shuttingDown) socket.destroy();
  else socket.resetAndDestroy();
}
