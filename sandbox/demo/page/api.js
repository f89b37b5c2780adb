// Asking the demo's server to do something. What came of it is seen in the live stream.

import { toast } from "./toasts.js";

/** POST to `/demo/api/<path>`; the answer if it was done, else null, and a toast says why not. */
export async function act(path, body) {
  try {
    const response = await fetch(`/demo/api/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (response.ok) return await response.json();
    const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
    toast(isJson ? (await response.json()).error : await response.text());
  } catch {
    toast("The demo does not answer. Is it still running in your terminal?");
  }
  return null;
}
