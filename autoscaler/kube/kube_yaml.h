/* kube_yaml - the documents of a YAML or JSON stream as trees whose nodes know their lines.
 * Aliases can form a ring: walk a tree by the names that are expected, or count the depth.
 * Pure.  Thread: the owner's. */
#ifndef AUTOSCALER_KUBE_KUBE_YAML_H
#define AUTOSCALER_KUBE_KUBE_YAML_H

#include "common/err.h"

struct kube_yaml;

enum kube_node_type { KUBE_NODE_NONE, KUBE_NODE_TEXT, KUBE_NODE_LIST, KUBE_NODE_MAP };

/* A node, borrowed from its stream.  All functions take a node that is none. */
struct kube_node {
	const struct kube_yaml *of;
	size_t document;
	const void *at; /* NULL: there is none */
};

/* Parse the n bytes at text; origin: a name for errors.  NULL with err, which names the line. */
NODISCARD struct kube_yaml *kube_yaml_parse(const char *text, size_t n, const char *origin,
					    struct err *);
void kube_yaml_free(struct kube_yaml **);

size_t kube_yaml_size(const struct kube_yaml *); /* documents */
struct kube_node kube_yaml_root(const struct kube_yaml *, size_t i);

enum kube_node_type kube_node_type(struct kube_node);
unsigned kube_node_line(struct kube_node); /* from 1; 0: there is no node */
/* The text of a scalar.  NULL: it is none, or null. */
const char *kube_node_text(struct kube_node);

/* The value of a key of a map. */
struct kube_node kube_node_member(struct kube_node map, const char *key);
/* Elements of a list, or pairs of a map; 0 of others. */
size_t kube_node_size(struct kube_node);
/* Element i of a list, or value i of a map. */
struct kube_node kube_node_element(struct kube_node, size_t i);
/* Key i of a map. */
struct kube_node kube_node_key(struct kube_node map, size_t i);

#endif
