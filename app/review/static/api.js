// Talks to the server: JSON, the CSRF header, and what happens when the session has ended.

const csrf = () => document.querySelector('meta[name="csrf"]').content;

/** An answer that is no success; `status` 0 means that there was none. */
export class ApiError extends Error {
  constructor(status, data) {
    super(data?.error ?? "Something went wrong.");
    this.status = status;
    this.data = data ?? {};
  }
}

/** Send a request and return the JSON of the answer. Raises ApiError; a 401 leaves the page. */
export async function request(method, path, body, options = {}) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRF-Token"] = csrf();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      signal: options.signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { error: "The server does not answer. Your work is kept in this tab." });
  }
  const data = await response.json().catch(() => null);
  if (response.ok) return data;
  if (response.status === 401 && !options.stay) leave();
  throw new ApiError(response.status, data);
}

export const get = (path, options) => request("GET", path, undefined, options);
export const post = (path, body, options) => request("POST", path, body ?? {}, options);

/** The session has ended: go where one can sign in and come back to this page. */
function leave() {
  const here = location.pathname + location.search;
  location.assign(`/expired?next=${encodeURIComponent(here)}`);
}

/** Where to go after signing in: only a path of this site. */
export function nextPage() {
  const next = new URLSearchParams(location.search).get("next") ?? "";
  return /^\/(?![/\\])/.test(next) ? next : "/worklist";
}
