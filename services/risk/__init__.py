"""Risk: what may be ordered, asked before anything goes out.

What others need of it is `RiskDesk` (desk.py); the verdicts and `Order` are in models/risk.py.

    desk.open(account, own, ledger, in_flight=())
        An account is measured from now on: its RiskParams, its books, and of its orders that are on their
        way what is left of each (`Order`).
    desk.close(account)
        It is not measured any more.
    desk.check(order, account) -> Verdict
        Approved | Reduced(quantity, …) | Refused(rule, value, limit; .reason). What passes is reserved at
        once, under order.order_id.
    desk.release(order_id)
        The order was never given to the outbox.
    desk.fill(order_id, quantity, price)
        A part was executed; the total of the final report counts it again.
    desk.settle(report)
        The end of an order, known by report.signal_id == order_id. SignalDesk calls it for every signal that
        ends, so whoever sends through it need not.
    desk.mark(symbol, price, at)
        A price that flowed by, `at` in monotonic seconds. Takes no lock.
    desk.halted(account) -> str | None
        Why it may only reduce positions now.
    desk.resume(account)
        Lift its halt; losses count anew from its value now.
    desk.stopped_out(account, order, entry)
        Tell that this order closes a position that has met its stop loss: an event and a count.

An execution's account is its execution id, `Order.owner` its session key. Refusals, reductions, warnings and
halts are written to `risk_events` and counted by the desk itself. Whether a position has met its stop loss is
`is_stopped_out(quantity, entry, price, stop_loss, buffer)`, and the order to make then `stop_loss_order(…)`:
both are pure (stop_loss.py).
"""
