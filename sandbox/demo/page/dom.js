// Building and updating the page. Text always becomes text nodes; nothing here takes markup.

/** An element with properties (`on…` are listeners, `dataset` an object) and children; null ones are left out. */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name in PROPERTIES) element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

const PROPERTIES = { value: true, checked: true, disabled: true, selected: true };

export function append(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : String(child));
  }
  return parent;
}

/**
 * Make `parent` hold one child for each item, in order. A child whose `mark` has not changed stays as it is, so
 * focus, selection and open menus survive; where a focused part was rebuilt, the part with the same
 * `data-focus` is focused again.
 */
export function list(parent, items, key, mark, build) {
  const held = focused(parent);
  const old = new Map([...parent.children].map((child) => [child.listKey, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const [itemKey, itemMark] = [key(item), mark(item)];
    let child = old.get(itemKey);
    old.delete(itemKey);
    if (child && child.listMark === itemMark) {
      if (child === place) place = place.nextElementSibling;
      else parent.insertBefore(child, place);
      continue;
    }
    const fresh = build(item);
    fresh.listKey = itemKey;
    fresh.listMark = itemMark;
    if (child) {
      if (child === place) place = place.nextElementSibling;
      child.remove();
    }
    parent.insertBefore(fresh, place);
  }
  for (const child of old.values()) child.remove();
  restore(parent, held);
}

/** Replace the only content of `parent` when `mark` has changed. */
export function one(parent, mark, build) {
  list(parent, [mark], () => "one", () => mark, build);
}

function focused(parent) {
  const active = document.activeElement;
  if (!active || active === document.body || !parent.contains(active)) return null;
  return active.dataset?.focus ?? null;
}

function restore(parent, held) {
  if (held === null || parent.contains(document.activeElement)) return;
  parent.querySelector(`[data-focus="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
}

/** Do `update` and stay at the end of `box` if it was read to its end. */
export function atEnd(box, update) {
  const wasAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 48;
  update();
  if (wasAtEnd) box.scrollTop = box.scrollHeight;
}

export const byId = (id) => document.getElementById(id);
