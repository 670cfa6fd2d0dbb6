// MODE FOLDER PROGRAM PWD=FOLDER NAME...: chroot to descriptor 6, chdir, give up CAP_SYS_CHROOT and CAP_SETPCAP, put
// the fourth in place of the variable PWD, execve. MODE t: setsid and TIOCSCTTY first.
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
 mov x1, x21
 movz w3, #0x5750
 movk w3, #0x3d44, lsl #16
next:
 ldr x2, [x1]
 cbz x2, become
 ldr w2, [x2]
 cmp w2, w3
 b.ne other
 ldr x2, [x20, #32]
 str x2, [x1]
other:
 add x1, x1, #8
 b next
become:
 mov x8, #221
 ldr x0, [x20, #24]
 add x1, x20, #40
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
