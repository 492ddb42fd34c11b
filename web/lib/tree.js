// Names with slashes as folders. Knows nothing of pages.

/** What @rows (of name(row)) are as folders: {path, label, folders, rows, count}; folders with one folder and nothing else are one. */
export function folders(rows, name = (row) => row.name) {
  const root = make("", "");
  for (const row of rows) {
    const parts = name(row).split("/");
    let at = root;
    at.count++;
    for (const part of parts.slice(0, -1)) {
      let next = at.inside.get(part);
      if (!next) at.inside.set(part, next = make(`${at.path}${part}/`, `${part}/`));
      at = next;
      at.count++;
    }
    at.rows.push(row);
  }
  return closed(root, true);
}

const make = (path, label) => ({ path, label, inside: new Map(), folders: [], rows: [], count: 0 });

function closed(folder, top) {
  folder.folders = [...folder.inside.values()].map((one) => closed(one, false));
  delete folder.inside;
  const [only] = folder.folders;
  if (top || folder.rows.length || folder.folders.length !== 1) return folder;
  return { ...only, label: folder.label + only.label };
}

/** All paths of @folder's folders, at any depth. */
export const paths = (folder) => folder.folders.flatMap((one) => [one.path, ...paths(one)]);

const ROWS_MAX = 200; // of one folder; more are for a list that has pages

/** What is seen of @root while the folders of the Set @open are open: [{folder, row or more (a number), depth, of: the folder it is in}]; @order: how rows, and folders, compare. */
export function visible(root, open, order, depth = 0) {
  const more = root.rows.length - ROWS_MAX;
  return [
    ...[...root.folders].sort(order.folders).flatMap((folder) => [{ folder, depth, of: root }, ...(open.has(folder.path) ? visible(folder, open, order, depth + 1) : [])]),
    ...[...root.rows].sort(order.rows).slice(0, ROWS_MAX).map((row) => ({ row, depth, of: root })),
    ...(more > 0 ? [{ more, depth, of: root }] : []),
  ];
}
