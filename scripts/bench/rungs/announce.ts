/** How a rung tells the bench where it listens; it ends when the bench does. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export function announce(port: number): void {
  process.on('disconnect', () => process.exit());
  process.send?.({ listening: port });
}

export function listenAndAnnounce(server: Pick<Server, 'listen' | 'address'>): void {
  server.listen(0, '127.0.0.1', () => announce((server.address() as AddressInfo).port));
}
