/* str_list - a list of strings that owns them.  Thread: the owner's. */
#ifndef COMMON_STR_LIST_H
#define COMMON_STR_LIST_H

#include "common/base.h"

struct str_list {
	char **v; /* n strings and a NULL; NULL only if n == 0 */
	size_t n;
};

/* Replace what the list holds by copies of the n strings at v. */
void str_list_set(struct str_list *, char *const *v, size_t n);
/* Add a copy of the string, or the string itself, which is then the list's. */
void str_list_add(struct str_list *, const char *text);
void str_list_take(struct str_list *, char *text);
/* Free the strings; the list is empty afterwards. */
void str_list_fini(struct str_list *);

#endif
