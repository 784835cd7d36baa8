"""Faults that the live loop has to survive, one by one; the table of them is written by `__main__`.

Workers in processes of their own, sharing one loop on the embedded broker, are killed, paused in
the middle, crowded out by others, and cut off from their broker, while a story of users is told;
what no broker does on demand is done over the memory bus. After each fault the topics must say that
every event was counted once, every ranking has one outcome and every decision one record, that the
model which workers publish is the fold of `outcomes` to 1e-9, and that nothing is left to read.
"""
