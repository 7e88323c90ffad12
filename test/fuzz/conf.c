/* libFuzzer: any bytes as a conf file.  It gives either settings or mistakes.  Mistakes name
 * the file and come in the order of its lines.  The settings in effect, dumped, load as the
 * same settings. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/settings.h"
#include "common/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfuse leaks the title of a name like "service='a", which it cannot parse. */
const char *
__lsan_default_suppressions(void)
{
	return "leak:libconfuse";
}

static void
check_errors(const struct settings_errors *errors)
{
	unsigned long last = 0;
	size_t i;

	for (i = 0; i < errors->n; i++) {
		const char *line = errors->lines[i];
		unsigned long number;

		CHECK(strncmp(line, "f.conf:", 7) == 0);
		number = strtoul(line + 7, NULL, 10);
		CHECK(number >= last || i == 20);
		last = number;
	}
}

/* The dump without its comments, which contain line numbers. */
static char *
dumped(const struct settings *s)
{
	struct strbuf b;
	char *text, *from, *to;

	strbuf_init(&b, 0);
	settings_dump(s, &b);
	text = strbuf_take(&b);
	for (from = to = text; *from != '\0'; from++) {
		if (strncmp(from, " # ", 3) == 0)
			from += strcspn(from, "\n");
		*to++ = *from;
	}
	*to = '\0';
	return text;
}

static void
there_and_back(const struct settings *s)
{
	struct settings_errors errors;
	char *one = dumped(s), *two;
	struct settings *again = settings_load_bytes("f.conf", one, strlen(one), &errors);

	CHECK(again != NULL);
	two = dumped(again);
	CHECK(strcmp(one, two) == 0);
	free(one);
	free(two);
	settings_free(&again);
	settings_errors_free(&errors);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings_errors errors;
	struct settings *s = settings_load_bytes("f.conf", (const char *)data, size, &errors);

	CHECK((s == NULL) == (errors.n > 0));
	check_errors(&errors);
	if (s != NULL)
		there_and_back(s);
	settings_free(&s);
	settings_errors_free(&errors);
	return 0;
}
