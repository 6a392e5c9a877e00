/** The zone of a Node. */
export const zoneLabel = 'topology.kubernetes.io/zone';

const proxyNameLabel = 'service.kubernetes.io/service-proxy-name';
const headlessLabel = 'service.kubernetes.io/headless';

type Labels = ReadonlyMap<string, string>;

/** Whether a Service or EndpointSlice is for another proxy, or for none. What the labels' values are, matters not. */
export function isHidden(labels: Labels, serviceProxyName: string | undefined): boolean {
  if (labels.has(headlessLabel)) return true;
  if (serviceProxyName) return labels.get(proxyNameLabel) !== serviceProxyName;
  return labels.has(proxyNameLabel);
}

/** The selector with which a list or watch of Services and EndpointSlices leaves out what is hidden anyway. */
export function serviceLabelSelector(serviceProxyName?: string): string {
  const proxy = serviceProxyName ? `${proxyNameLabel}=${serviceProxyName}` : `!${proxyNameLabel}`;
  return `${proxy},!${headlessLabel}`;
}

/** One condition of a label selector. */
export interface Requirement {
  key: string;
  operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  values: readonly string[];
}

const key = '[\\w./-]+';
const value = '[\\w.-]*';
const equality = new RegExp(`^(${key})\\s*(==?|!=)\\s*(${value})$`);
const membership = new RegExp(`^(${key})\\s+(in|notin)\\s*\\(([^()]*)\\)$`);
const existence = new RegExp(`^(!?)\\s*(${key})$`);

/** Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k`; undefined for what is no label selector. */
export function parseLabelSelector(text: string): Requirement[] | undefined {
  const requirements: Requirement[] = [];
  for (const part of text.split(/,(?![^(]*\))/)) {
    const requirement = parseRequirement(part.trim());
    if (!requirement) return undefined;
    requirements.push(requirement);
  }
  return requirements;
}

function parseRequirement(text: string): Requirement | undefined {
  const [, equalKey, sign, equalTo = ''] = equality.exec(text) ?? [];
  if (equalKey) return { key: equalKey, operator: sign === '!=' ? 'NotIn' : 'In', values: [equalTo] };
  const [, memberKey, operator, members = ''] = membership.exec(text) ?? [];
  if (memberKey) {
    const values = members.split(',').map((member) => member.trim());
    return { key: memberKey, operator: operator === 'in' ? 'In' : 'NotIn', values };
  }
  const [, not, present] = existence.exec(text) ?? [];
  return present ? { key: present, operator: not ? 'DoesNotExist' : 'Exists', values: [] } : undefined;
}

/** Whether labels meet all requirements. */
export function matches(labels: Labels, requirements: readonly Requirement[]): boolean {
  return requirements.every(({ key, operator, values }) => {
    const label = labels.get(key);
    switch (operator) {
      case 'In':
        return label !== undefined && values.includes(label);
      case 'NotIn':
        return label === undefined || !values.includes(label);
      case 'Exists':
        return label !== undefined;
      case 'DoesNotExist':
        return label === undefined;
    }
  });
}
