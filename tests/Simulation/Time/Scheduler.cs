namespace KvStore.Simulation;

/// <summary>
/// Virtual time on one thread: a queue of events ordered by (time, order of scheduling). Every event that runs is folded into
/// the trace hash, so two runs of one seed can be compared to the step.
/// </summary>
public sealed class Scheduler
{
    private readonly PriorityQueue<Event, (long Micros, long Order)> _events = new();
    private long _order;

    private readonly record struct Event(string Name, int Subject, Action Run);

    /// <summary>Microseconds since the start of the run.</summary>
    public long NowMicros { get; private set; }

    public long Steps { get; private set; }

    public ulong TraceHash { get; private set; } = 0xCBF29CE484222325;

    /// <summary>Called after every event: the place of the checkers.</summary>
    public Action? AfterStep { get; set; }

    /// <param name="delayMicros">From now; 0 runs after everything scheduled for now already.</param>
    /// <param name="name">What it is, for the trace.</param>
    /// <param name="subject">Whom it concerns (a node's number), for the trace.</param>
    /// <param name="run">The event.</param>
    public void After(long delayMicros, string name, int subject, Action run) =>
        _events.Enqueue(new Event(name, subject, run), (NowMicros + Math.Max(0, delayMicros), _order++));

    /// <summary>Runs the next event. False: nothing is scheduled.</summary>
    public bool Step()
    {
        if (!_events.TryDequeue(out Event next, out (long Micros, long Order) at))
        {
            return false;
        }

        NowMicros = at.Micros;
        Steps++;
        Fold((ulong)at.Micros);
        Fold((ulong)next.Subject);
        foreach (char c in next.Name)
        {
            Fold(c);
        }

        next.Run();
        AfterStep?.Invoke();
        return true;
    }

    /// <summary>
    /// Runs events until a condition holds (looked at every virtual millisecond) or so much virtual time has passed; whether it
    /// holds.
    /// </summary>
    public bool RunUntil(Func<bool> condition, long limitMicros)
    {
        long end = NowMicros + limitMicros;
        while (!condition())
        {
            if (NowMicros >= end || _events.Count == 0)
            {
                return false;
            }

            RunFor(1_000);
        }

        return true;
    }

    public void RunFor(long micros)
    {
        long end = NowMicros + micros;
        while (_events.TryPeek(out _, out (long Micros, long Order) at) && at.Micros <= end)
        {
            Step();
        }

        NowMicros = Math.Max(NowMicros, end);
    }

    /// <summary>Adds something to the trace hash that an event's name does not say: a payload, a result.</summary>
    public void Fold(ulong value) => TraceHash = (TraceHash ^ value) * 0x100000001B3;
}
