/* libFuzzer: any bytes as a file of `activatorctl import`, for annotations and for the conf file.
 * What is partial is said. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/import/import.h"
#include "common/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
import(enum import_form form, const char *text, size_t n)
{
	struct import *imp = import_new(form, "default");
	struct err e = {0};
	struct strbuf out;

	strbuf_init(&out, 0);
	if (import_add(imp, "file", text, n, &e) < 0) {
		CHECK(e.text[0] != '\0');
	} else {
		import_run(imp);
		import_write(imp, &out);
		CHECK(!import_is_partial(imp) || import_notes(imp)[0] != '\0');
	}
	strbuf_fini(&out);
	import_free(&imp);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xmalloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	import(IMPORT_ANNOTATIONS, text, size);
	import(IMPORT_CONF, text, size);
	free(text);
	return 0;
}
