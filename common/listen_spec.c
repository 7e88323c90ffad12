#include "common/listen_spec.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/conf_names.h"

#define BLANKS " \t"

static const struct {
	const char *name;
	size_t member;
} words[] = {
	{"tls", offsetof(struct listen_spec, is_tls)},
	{"proxy", offsetof(struct listen_spec, is_proxy)},
	{"local", offsetof(struct listen_spec, is_local)},
};

/* What other programs call them. */
static const struct {
	const char *name, *ours;
} synonyms[] = {
	{"ssl", "tls"},
	{"https", "tls"},
	{"proxy_protocol", "proxy"},
	{"proxy-protocol", "proxy"},
	{"accept-proxy", "proxy"},
	{"send-proxy", "proxy"},
	{"cluster-local", "local"},
	{"internal", "local"},
};

/* Ours that word may stand for, or NULL. */
static const char *
meant(const char *word)
{
	const char *names[ARRAY_LEN(words)];
	size_t i;

	for (i = 0; i < ARRAY_LEN(synonyms); i++)
		if (strcasecmp(word, synonyms[i].name) == 0)
			return synonyms[i].ours;
	for (i = 0; i < ARRAY_LEN(words); i++) {
		names[i] = words[i].name;
		if (strcasecmp(word, words[i].name) == 0)
			return words[i].name;
	}
	return conf_word_nearest(word, names, ARRAY_LEN(names));
}

static int
error_unknown(const char *word, struct err *e)
{
	static const char expected[] = "expected \"tls\", \"proxy\" or \"local\" behind the "
				       "address, got";
	const char *near = meant(word);

	if (near == NULL)
		return err_set(e, 0, "%s %s", expected, CONF_QUOTED(word));
	return err_set(e, 0, "%s %s; did you mean \"%s\"?", expected, CONF_QUOTED(word), near);
}

static int
set_word(struct listen_spec *s, const char *word, struct err *e)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(words); i++) {
		bool *is_set = (bool *)((char *)s + words[i].member);

		if (strcmp(word, words[i].name) != 0)
			continue;
		if (*is_set)
			return err_set(e, 0, "expected each word once, got \"%s\" twice", word);
		*is_set = true;
		return 0;
	}
	return error_unknown(word, e);
}

static int
parse_address(struct listen_spec *s, const char *address, const char *text, struct err *e)
{
	if (addr_parse_any(&s->addr, address, NULL) < 0)
		return err_set(e, 0,
			       "expected an address like \"127.0.0.1:8080\", \"[::1]:8080\" or "
			       "\"unix:/path\", got %s",
			       CONF_QUOTED(text));
	addr_format(&s->addr, true, s->text);
	return 0;
}

/* The word at *at, the caller's to free; *at becomes what is behind it.  NULL: there is none. */
static char *
next_word(const char **at)
{
	const char *word = *at + strspn(*at, BLANKS);
	size_t n = strcspn(word, BLANKS);

	*at = word + n;
	return n == 0 ? NULL : xstrndup(word, n);
}

int
listen_spec_parse(struct listen_spec *s, const char *text, struct err *e)
{
	const char *rest = text;
	char *word = next_word(&rest);
	int rc;

	*s = (struct listen_spec){.is_tls = false};
	rc = parse_address(s, word == NULL ? "" : word, text, e);
	free(word);
	while (rc == 0 && (word = next_word(&rest)) != NULL) {
		rc = set_word(s, word, e);
		free(word);
	}
	return rc;
}
