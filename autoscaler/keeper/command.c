#include "autoscaler/keeper/command.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/strbuf.h"

/* How long the reference to the variable is with which s begins; 0: it begins with none. */
static size_t
reference(const char *s, const char *name)
{
	size_t n = strlen(name);

	if (s[0] != '$')
		return 0;
	if (s[1] == '{' && strncmp(s + 2, name, n) == 0 && s[2 + n] == '}')
		return n + 3;
	if (strncmp(s + 1, name, n) == 0 && !isalnum((unsigned char)s[1 + n]) && s[1 + n] != '_')
		return n + 1;
	return 0;
}

static char *
fill(const char *arg, const char *name, unsigned value)
{
	struct strbuf b;
	size_t n;

	strbuf_init(&b, 0);
	while (*arg != '\0') {
		n = reference(arg, name);
		if (n > 0)
			strbuf_addf(&b, "%u", value);
		else
			strbuf_add(&b, arg, n = 1);
		arg += n;
	}
	return strbuf_take(&b);
}

static struct str_list
fill_all(const struct str_list *command, const char *name, unsigned value)
{
	struct str_list l = {.v = xcalloc(command->n + 1, sizeof *l.v), .n = command->n};
	size_t i;

	for (i = 0; i < l.n; i++)
		l.v[i] = fill(command->v[i], name, value);
	return l;
}

char *
command_fill(const char *arg, uint16_t port)
{
	return fill(arg, "PORT", port);
}

struct str_list
command_arguments(const struct str_list *command, uint16_t port)
{
	return fill_all(command, "PORT", port);
}

struct str_list
command_arguments_pid(const struct str_list *command, pid_t pid)
{
	return fill_all(command, "MAINPID", (unsigned)pid);
}

static bool
is_same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return strncmp(a, b, n) == 0 && (b[n] == '=' || b[n] == '\0');
}

/* What the supervisor of the autoscaler meant for the autoscaler alone. */
static const char *const not_passed_on[] = {
	"NOTIFY_SOCKET",	 "LISTEN_FDS",	   "LISTEN_PID",
	"LISTEN_FDNAMES",	 "WATCHDOG_PID",   "WATCHDOG_USEC",
	"CREDENTIALS_DIRECTORY", "JOURNAL_STREAM", NULL};
static const char *const set_here[] = {"PORT", COMMAND_INSTANCE, COMMAND_KEEPER, NULL};

static bool
is_named(const char *entry, const char *const *names)
{
	for (; *names != NULL; names++)
		if (is_same_name(entry, *names))
			return true;
	return false;
}

/* Whether one of entries, from the given place on, has the same name. */
static bool
is_overridden(const char *entry, const struct str_list *entries, size_t from)
{
	size_t i;

	for (i = from; i < entries->n; i++)
		if (is_same_name(entry, entries->v[i]))
			return true;
	return false;
}

struct str_list
command_environment(char *const *inherited, const struct str_list *extra, uint16_t port,
		    const char *id, const char *mark)
{
	struct str_list l = {.n = 0};
	size_t n = 0, i;

	while (inherited[n] != NULL)
		n++;
	l.v = xcalloc(n + extra->n + ARRAY_LEN(set_here), sizeof *l.v);
	for (i = 0; i < n; i++)
		if (!is_named(inherited[i], not_passed_on) && !is_named(inherited[i], set_here) &&
		    !is_overridden(inherited[i], extra, 0))
			l.v[l.n++] = xstrdup(inherited[i]);
	for (i = 0; i < extra->n; i++)
		if (!is_named(extra->v[i], set_here) && !is_overridden(extra->v[i], extra, i + 1))
			l.v[l.n++] = xstrdup(extra->v[i]);
	l.v[l.n++] = xasprintf("PORT=%u", port);
	l.v[l.n++] = xasprintf(COMMAND_INSTANCE "=%s", id);
	l.v[l.n++] = xasprintf(COMMAND_KEEPER "=%s", mark);
	return l;
}

/* FNV-1a, 64 bit. */
static void
add_digest(uint64_t *digest, const char *s)
{
	do
		*digest = (*digest ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	while (*s++ != '\0'); /* with the NUL: texts must not run together */
}

static void
add_list_digest(uint64_t *digest, const struct str_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		add_digest(digest, l->v[i]);
	add_digest(digest, "");
}

char *
command_digest(const struct str_list *command, const struct str_list *environment,
	       const char *directory, const char *user)
{
	uint64_t digest = UINT64_C(0xcbf29ce484222325);

	add_list_digest(&digest, command);
	add_list_digest(&digest, environment);
	add_digest(&digest, directory == NULL ? "" : directory);
	add_digest(&digest, user == NULL ? "" : user);
	return xasprintf("%016llx", (unsigned long long)digest);
}
