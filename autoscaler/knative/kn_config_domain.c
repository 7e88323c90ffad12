/* config-domain: each key is a domain, whose value selects the Routes that are below it:
 *	example.org: |
 *	  selector:
 *	    app: nonprofit */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_config_impl.h"
#include "autoscaler/kube/kube_yaml.h"
#include "common/text.h"

#define LABEL_LONGEST 63 /* of a host */
#define HOST_LONGEST 253

void
kn_config_domain_init(struct kn_domain_config *d)
{
	*d = (struct kn_domain_config){0};
}

void
kn_config_domain_fini(struct kn_domain_config *d)
{
	size_t i;

	for (i = 0; i < d->n; i++) {
		free(d->v[i].name);
		str_list_fini(&d->v[i].labels);
	}
	free(d->v);
	*d = (struct kn_domain_config){0};
}

/* Labels of small letters, digits and hyphens, with dots between. */
static bool
is_domain(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	const char *at = name;
	size_t n;

	if (name[0] == '\0' || strlen(name) > HOST_LONGEST)
		return false;
	for (;; at += n + 1) {
		n = strspn(at, letters);
		if (n == 0 || n > LABEL_LONGEST || at[0] == '-' || at[n - 1] == '-')
			return false;
		if (at[n] == '\0')
			return true;
		if (at[n] != '.')
			return false;
	}
}

/* Its labels are none yet. */
static struct kn_domain *
add(struct kn_domain_config *d, const char *name)
{
	size_t at = 0;

	while (at < d->n && strcmp(d->v[at].name, name) < 0)
		at++;
	d->v = xrealloc(d->v, (d->n + 1) * sizeof *d->v);
	memmove(&d->v[at + 1], &d->v[at], (d->n - at) * sizeof *d->v);
	d->n++;
	d->v[at] = (struct kn_domain){.name = xstrdup(name)};
	return &d->v[at];
}

/* Labels of the selector to l.  -1: it is none. */
static int
take_selector(struct kube_node selector, struct str_list *l)
{
	size_t n = kube_node_size(selector), i;
	const char **v = xcalloc(2 * n + 1, sizeof *v);
	int rc = 0;

	if (kube_node_type(selector) != KUBE_NODE_MAP && kube_node_type(selector) != KUBE_NODE_NONE)
		rc = -1;
	for (i = 0; i < n && rc == 0; i++) {
		v[2 * i] = kube_node_text(kube_node_key(selector, i));
		v[2 * i + 1] = kube_node_text(kube_node_element(selector, i));
		if (v[2 * i] == NULL)
			rc = -1;
		else if (v[2 * i + 1] == NULL)
			v[2 * i + 1] = "";
	}
	if (rc == 0)
		str_list_set(l, (char *const *)(uintptr_t)v, 2 * n);
	free(v);
	return rc;
}

int
kn_config_domain_take(struct kn_domain_config *d, const char *name, const char *text, struct err *e)
{
	struct kube_yaml *y;
	struct kube_node root = {0};
	struct kn_domain *domain;
	int rc = 0;

	if (!is_domain(name))
		return err_set(e, 0,
			       "expected a domain such as example.com for a key, got \"%.200s\"",
			       name);
	y = kube_yaml_parse(text, strlen(text), name, e);
	if (y == NULL)
		return -1;
	if (kube_yaml_size(y) > 0)
		root = kube_yaml_root(y, 0);
	domain = add(d, name);
	if ((kube_node_type(root) != KUBE_NODE_MAP && kube_node_text(root) != NULL) ||
	    kube_node_type(root) == KUBE_NODE_LIST ||
	    take_selector(kube_node_member(root, "selector"), &domain->labels) < 0)
		rc = kn_config_mistake(e, name, "\"selector:\" with labels, or nothing", text);
	kube_yaml_free(&y);
	return rc;
}

void
kn_config_domain_finish(struct kn_domain_config *d, const char *cluster_domain)
{
	char *name;
	size_t i;

	for (i = 0; i < d->n; i++)
		if (d->v[i].labels.n == 0)
			return;
	name = xasprintf("svc.%s", cluster_domain);
	for (i = 0; i < d->n; i++)
		if (strcmp(d->v[i].name, name) == 0)
			break;
	if (i < d->n)
		str_list_fini(&d->v[i].labels);
	else
		(void)add(d, name);
	free(name);
}

static bool
selects(const struct kn_domain *d, const json_t *labels)
{
	size_t i;

	for (i = 0; i < d->labels.n; i += 2)
		if (!text_equal(json_string_value(json_object_get(labels, d->labels.v[i])),
				d->labels.v[i + 1]))
			return false;
	return true;
}

const char *
kn_config_domain(const struct kn_config *c, const json_t *labels)
{
	const struct kn_domain *best = NULL;
	size_t i;

	for (i = 0; i < c->domain.n; i++) {
		const struct kn_domain *d = &c->domain.v[i];

		if (selects(d, labels) && (best == NULL || d->labels.n > best->labels.n))
			best = d;
	}
	CHECK(best != NULL); /* one is without labels */
	return best->name;
}
