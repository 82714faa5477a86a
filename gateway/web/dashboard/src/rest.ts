/** The gateway's plain HTTP, with the token that it may ask for. */

let token: string | null = null;

/** What is shown from now on, in this thread. */
export function showToken(value: string | null): void {
  token = value;
}

/** Asks for what is now, not for what was. */
export function get(path: string): Promise<Response> {
  return fetch(path, token === null ? { cache: "no-store" } : { cache: "no-store", headers: { authorization: `Bearer ${token}` } });
}
