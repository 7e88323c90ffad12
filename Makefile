# activator - build, test, run.  `make help` lists the targets.
VERSION := 0.1.0
CC ?= gcc
SAN ?=
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
B := build$(if $(SAN),/$(SAN))

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual \
	-Wformat=2 -Wno-format-zero-length -Wvla -Wpointer-arith -Wundef
OPT := $(if $(SAN),-O1 -fsanitize=$(SAN)$(if $(filter address,$(SAN)),$(comma)undefined) \
	-fno-omit-frame-pointer,-O2)
comma := ,
LLHTTP_PC := $(shell pkg-config --exists libllhttp 2>/dev/null && echo yes)
ifeq ($(LLHTTP_PC),yes)
LLHTTP_CFLAGS := $(shell pkg-config --cflags libllhttp)
LLHTTP_LIBS := $(shell pkg-config --libs libllhttp)
LLHTTP_OBJ :=
else
LLHTTP_CFLAGS := -isystem /usr/share/include/llhttp
LLHTTP_LIBS :=
LLHTTP_OBJ := $(patsubst /usr/share/llhttp/%.c,$(B)/llhttp/%.o,$(wildcard /usr/share/llhttp/*.c))
endif

CPPFLAGS += -I. -D_GNU_SOURCE $(LLHTTP_CFLAGS)
CFLAGS += -std=gnu11 -g $(OPT) $(WARN) -pthread
LDFLAGS += -pthread $(if $(SAN),-fsanitize=$(SAN)$(if $(filter address,$(SAN)),$(comma)undefined))
LIBS_COMMON := -levent_core -levent_extra -ljansson -lconfuse -lm
LIBS_ACTIVATOR := $(LIBS_COMMON) $(LLHTTP_LIBS)
LIBS_AUTOSCALER := $(LIBS_COMMON) -lcurl

SRC_COMMON := $(wildcard common/*.c)
SRC_ACTIVATOR := $(wildcard activator/*.c)
SRC_AUTOSCALER := $(wildcard autoscaler/*.c)
OBJ = $(patsubst %.c,$(B)/%.o,$(1))

all: $(B)/activator $(B)/autoscaler

# The binaries bear the names of their folders: their objects live in $(B)/obj.
$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -DVERSION='"$(VERSION)"' -DSYSCONFDIR='"$(SYSCONFDIR)"' -c -o $@ $<

$(B)/llhttp/%.o: /usr/share/llhttp/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -std=gnu11 -O2 -DLLHTTP_STRICT_MODE=1 $(if $(SAN),-fsanitize=$(SAN)) -c -o $@ $<

OBJ_COMMON := $(patsubst %.c,$(B)/obj/%.o,$(SRC_COMMON))
OBJ_ACTIVATOR := $(patsubst %.c,$(B)/obj/%.o,$(SRC_ACTIVATOR))
OBJ_AUTOSCALER := $(patsubst %.c,$(B)/obj/%.o,$(SRC_AUTOSCALER))

$(B)/activator: $(OBJ_ACTIVATOR) $(OBJ_COMMON) $(LLHTTP_OBJ)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_ACTIVATOR)
$(B)/autoscaler: $(OBJ_AUTOSCALER) $(OBJ_COMMON)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_AUTOSCALER)

clean:
	rm -rf build

-include $(OBJ_COMMON:.o=.d) $(OBJ_ACTIVATOR:.o=.d) $(OBJ_AUTOSCALER:.o=.d)
.PHONY: all clean
