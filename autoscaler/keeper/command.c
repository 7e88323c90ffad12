#include "autoscaler/keeper/command.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"

/* How many bytes of s are a reference to PORT; 0: none. */
static size_t
reference(const char *s)
{
	if (strncmp(s, "${PORT}", 7) == 0)
		return 7;
	if (strncmp(s, "$PORT", 5) == 0 && !isalnum((unsigned char)s[5]) && s[5] != '_')
		return 5;
	return 0;
}

char *
command_fill(const char *arg, uint16_t port)
{
	struct strbuf b;
	size_t n;

	strbuf_init(&b, 0);
	while (*arg != '\0') {
		n = reference(arg);
		if (n > 0)
			strbuf_addf(&b, "%u", port);
		else
			strbuf_add(&b, arg, n = 1);
		arg += n;
	}
	return strbuf_take(&b);
}

static size_t
count(char *const *list)
{
	size_t n = 0;

	while (list != NULL && list[n] != NULL)
		n++;
	return n;
}

char **
command_arguments(char *const *command, uint16_t port)
{
	size_t n = count(command), i;
	char **v = xcalloc(n + 1, sizeof *v);

	for (i = 0; i < n; i++)
		v[i] = command_fill(command[i], port);
	return v;
}

static bool
is_same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return strncmp(a, b, n) == 0 && (b[n] == '=' || b[n] == '\0');
}

/* What our own supervisor gave to us and to nobody else. */
static const char *const not_passed_on[] = {
	"NOTIFY_SOCKET", "LISTEN_FDS",	  "LISTEN_PID", "LISTEN_FDNAMES",
	"WATCHDOG_PID",	 "WATCHDOG_USEC", NULL};
static const char *const set_here[] = {"PORT", COMMAND_INSTANCE, COMMAND_KEEPER, NULL};

static bool
is_named(const char *entry, const char *const *names)
{
	for (; *names != NULL; names++)
		if (is_same_name(entry, *names))
			return true;
	return false;
}

static bool
is_overridden(const char *entry, char *const *by)
{
	for (; by != NULL && *by != NULL; by++)
		if (is_same_name(entry, *by))
			return true;
	return false;
}

char **
command_environment(char *const *inherited, char *const *extra, uint16_t port, const char *id,
		    const char *mark)
{
	size_t kept = count(inherited), added = count(extra), n = 0, i;
	char **v = xcalloc(kept + added + 4, sizeof *v);

	for (i = 0; i < kept; i++)
		if (!is_named(inherited[i], not_passed_on) && !is_named(inherited[i], set_here) &&
		    !is_overridden(inherited[i], extra))
			v[n++] = xstrdup(inherited[i]);
	for (i = 0; i < added; i++)
		if (!is_named(extra[i], set_here) && !is_overridden(extra[i], extra + i + 1))
			v[n++] = xstrdup(extra[i]);
	v[n++] = xasprintf("PORT=%u", port);
	v[n++] = xasprintf(COMMAND_INSTANCE "=%s", id);
	v[n++] = xasprintf(COMMAND_KEEPER "=%s", mark);
	return v;
}

void
command_free(char ***list)
{
	char **v = *list, **at;

	*list = NULL;
	for (at = v; at != NULL && *at != NULL; at++)
		free(*at);
	free(v);
}
