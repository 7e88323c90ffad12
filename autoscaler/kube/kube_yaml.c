#include "autoscaler/kube/kube_yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct kube_yaml {
	yaml_document_t *v;
	size_t n;
};

static const struct kube_node none;

/* --- the stream --- */

static int
refuse(const yaml_parser_t *p, const char *origin, struct err *e)
{
	const char *problem = p->problem == NULL ? "this is no YAML" : p->problem;

	if (p->error == YAML_READER_ERROR)
		return err_set(e, 0, "%s: byte %zu: %s", origin, p->problem_offset, problem);
	return err_set(e, 0, "%s:%zu: %s", origin, p->problem_mark.line + 1, problem);
}

static int
load_all(struct kube_yaml *y, yaml_parser_t *p, const char *origin, struct err *e)
{
	yaml_document_t one;

	for (;;) {
		if (yaml_parser_load(p, &one) == 0)
			return refuse(p, origin, e);
		if (yaml_document_get_root_node(&one) == NULL) { /* the end */
			yaml_document_delete(&one);
			return 0;
		}
		y->v = xrealloc(y->v, (y->n + 1) * sizeof *y->v);
		y->v[y->n++] = one;
	}
}

struct kube_yaml *
kube_yaml_parse(const char *text, size_t n, const char *origin, struct err *e)
{
	struct kube_yaml *y = xcalloc(1, sizeof *y);
	yaml_parser_t parser;

	CHECK(yaml_parser_initialize(&parser) != 0);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
	if (load_all(y, &parser, origin, e) < 0)
		kube_yaml_free(&y);
	yaml_parser_delete(&parser);
	return y;
}

void
kube_yaml_free(struct kube_yaml **yaml)
{
	struct kube_yaml *y = *yaml;
	size_t i;

	if (y == NULL)
		return;
	*yaml = NULL;
	for (i = 0; i < y->n; i++)
		yaml_document_delete(&y->v[i]);
	free(y->v);
	free(y);
}

/* --- nodes --- */

static struct kube_node
node_of(const struct kube_yaml *y, size_t document, const yaml_node_t *at)
{
	return (struct kube_node){.of = y, .document = document, .at = at};
}

/* The node with this number in the document of n. */
static struct kube_node
by_number(struct kube_node n, int number)
{
	return node_of(n.of, n.document, yaml_document_get_node(&n.of->v[n.document], number));
}

size_t
kube_yaml_size(const struct kube_yaml *y)
{
	return y->n;
}

struct kube_node
kube_yaml_root(const struct kube_yaml *y, size_t i)
{
	return node_of(y, i, yaml_document_get_root_node(&y->v[i]));
}

enum kube_node_type
kube_node_type(struct kube_node n)
{
	const yaml_node_t *at = n.at;

	if (at == NULL)
		return KUBE_NODE_NONE;
	return at->type == YAML_MAPPING_NODE	? KUBE_NODE_MAP
	       : at->type == YAML_SEQUENCE_NODE ? KUBE_NODE_LIST
						: KUBE_NODE_TEXT;
}

unsigned
kube_node_line(struct kube_node n)
{
	const yaml_node_t *at = n.at;

	return at == NULL ? 0 : (unsigned)at->start_mark.line + 1;
}

const char *
kube_node_text(struct kube_node n)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
	const yaml_node_t *at = n.at;
	const char *text;
	size_t i;

	if (kube_node_type(n) != KUBE_NODE_TEXT)
		return NULL;
	text = (const char *)at->data.scalar.value;
	for (i = 0; i < ARRAY_LEN(nulls); i++)
		if (at->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp(text, nulls[i]) == 0)
			return NULL;
	return text;
}

struct kube_node
kube_node_member(struct kube_node map, const char *key)
{
	size_t n = kube_node_type(map) == KUBE_NODE_MAP ? kube_node_size(map) : 0, i;
	const char *text;

	for (i = 0; i < n; i++) {
		text = kube_node_text(kube_node_key(map, i));
		if (text != NULL && strcmp(text, key) == 0)
			return kube_node_element(map, i);
	}
	return none;
}

size_t
kube_node_size(struct kube_node n)
{
	const yaml_node_t *at = n.at;

	switch (kube_node_type(n)) {
	case KUBE_NODE_MAP:
		return (size_t)(at->data.mapping.pairs.top - at->data.mapping.pairs.start);
	case KUBE_NODE_LIST:
		return (size_t)(at->data.sequence.items.top - at->data.sequence.items.start);
	default:
		return 0;
	}
}

struct kube_node
kube_node_element(struct kube_node n, size_t i)
{
	const yaml_node_t *at = n.at;

	if (i >= kube_node_size(n))
		return none;
	return by_number(n, at->type == YAML_MAPPING_NODE ? at->data.mapping.pairs.start[i].value
							  : at->data.sequence.items.start[i]);
}

struct kube_node
kube_node_key(struct kube_node map, size_t i)
{
	const yaml_node_t *at = map.at;

	if (kube_node_type(map) != KUBE_NODE_MAP || i >= kube_node_size(map))
		return none;
	return by_number(map, at->data.mapping.pairs.start[i].key);
}
