/* libFuzzer: any bytes as a line between the autoscaler and its keeper.  A message that is
 * decoded must be encoded as a line that is decoded and encoded as the same line. */
#include <stdint.h>
#include <string.h>

#include "autoscaler/keeper/keeper_msg.h"
#include "common/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
there_and_back(const struct keeper_msg *m)
{
	struct keeper_msg again;
	struct strbuf one, two;
	struct err e;

	strbuf_init(&one, 0);
	strbuf_init(&two, 0);
	keeper_msg_encode(m, &one);
	CHECK(strchr(strbuf_str(&one), '\n') == NULL);
	CHECK(keeper_msg_decode(&again, one.data, one.len, &e) == 0);
	keeper_msg_encode(&again, &two);
	CHECK(strcmp(strbuf_str(&one), strbuf_str(&two)) == 0);
	keeper_msg_fini(&again);
	strbuf_fini(&one);
	strbuf_fini(&two);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = {0};
	struct keeper_msg m;
	int rc = keeper_msg_decode(&m, (const char *)data, size, &e);

	CHECK((rc == 0) == (e.text[0] == '\0'));
	if (rc == 0 && m.type != KEEPER_UNKNOWN)
		there_and_back(&m);
	keeper_msg_fini(&m);
	return 0;
}
