/** Whether an object with these labels is selected. */
export type Selector = (labels: Readonly<Record<string, string>>) => boolean;

const requirement =
  /^(?:(?<absent>!)?(?<lone>[^\s!=,()]+)|(?<key>[^\s!=,()]+)\s*(?:(?<operator>==?|!=)\s*(?<value>[^\s!=,()]*)|\s(?<set>in|notin)\s+\((?<values>[^()]*)\)))$/;

/** Label selectors as the API server reads them: `k`, `!k`, `k=v`, `k==v`, `k!=v`, `k in (a,b)`, `k notin (a,b)`. */
export function parseSelector(text: string): Selector {
  const requirements = text
    .split(/,(?![^()]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map(parseRequirement);
  return (labels) => requirements.every((matches) => matches(labels));
}

function parseRequirement(text: string): Selector {
  const groups = requirement.exec(text)?.groups;
  if (!groups) throw new Error(`unable to parse requirement: ${text}`);
  const { absent, lone, key = '', operator, value = '', set, values = '' } = groups;
  if (lone !== undefined) return (labels) => lone in labels === (absent === undefined);
  const wanted = operator ? [value] : values.split(',').map((v) => v.trim());
  /* An object without the label satisfies != and notin. */
  if (operator === '!=' || set === 'notin') return (labels) => !wanted.includes(labels[key] as string);
  return (labels) => wanted.includes(labels[key] as string);
}
