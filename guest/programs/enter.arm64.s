// MODE FOLDER PROGRAM NAME...: chroot to descriptor 6, chdir, give up CAP_SYS_CHROOT and CAP_SETPCAP, execve. MODE t: setsid and TIOCSCTTY first.
.globl _start
_start:
 ldr x19, [sp]
 add x20, sp, #8
 add x21, x20, x19, lsl #3
 add x21, x21, #8
 ldr x0, [x20, #8]
 ldrb w0, [x0]
 cmp w0, #116
 b.ne root
 mov x8, #157
 svc #0
 tbnz x0, #63, fail
 mov x8, #29
 mov x0, #0
 mov x1, #0x540E
 mov x2, #0
 svc #0
 tbnz x0, #63, fail
root:
 mov x8, #50
 mov x0, #6
 svc #0
 tbnz x0, #63, fail
 mov x8, #51
 adr x0, dot
 svc #0
 tbnz x0, #63, fail
 mov x8, #57
 mov x0, #6
 svc #0
 mov x8, #49
 ldr x0, [x20, #16]
 svc #0
 tbnz x0, #63, fail
 mov x8, #167
 mov x0, #24
 mov x1, #18
 svc #0
 tbnz x0, #63, fail
 mov x8, #167
 mov x0, #24
 mov x1, #8
 svc #0
 tbnz x0, #63, fail
 mov x8, #91
 adr x0, head
 adr x1, none
 svc #0
 tbnz x0, #63, fail
 mov x8, #221
 ldr x0, [x20, #24]
 add x1, x20, #32
 mov x2, x21
 svc #0
fail:
 mov x8, #94
 mov x0, #126
 svc #0
.balign 8
head: .long 0x20080522, 0
none: .quad 0, 0, 0
dot: .asciz "."
