namespace KvStore.Protocol;

/// <summary>How one attempt to have a request answered by another node ended.</summary>
public enum AttemptEnd : byte
{
    /// <summary>The node answered.</summary>
    Answered,

    /// <summary>Proved: nothing of the request reached the node.</summary>
    NotSent,

    /// <summary>The connection broke after the request may have left.</summary>
    Lost,

    /// <summary>Nothing came for as long as an answer is waited for. One may still come.</summary>
    Silent,
}

/// <summary>What whoever sent an attempt does next.</summary>
public enum NextStep : byte
{
    /// <summary>Nothing more: the request is answered, with <see cref="AttemptVerdict.Code"/>.</summary>
    Answer,

    /// <summary>The node that was named as the leader is asked.</summary>
    AskLeader,

    /// <summary>Another node than the one that was asked.</summary>
    AskAnother,

    /// <summary>The same node again: it is the right one and cannot say yet.</summary>
    AskSame,
}

/// <summary>What is known of a request when one of its attempts has ended.</summary>
public readonly record struct AttemptState
{
    public bool IsWrite { get; init; }

    /// <summary>The write has an id: its copies are executed once, and each is answered from the record of that execution.</summary>
    public bool HasId { get; init; }

    /// <summary>Who is answered chose the id and can use it again; an id that a node gave is no use to anybody else.</summary>
    public bool IdIsCallers { get; init; }

    /// <summary>Earlier attempts under the same id that may have been applied, or may yet be.</summary>
    public int UnknownAttempts { get; init; }

    /// <summary>The node that this attempt was for.</summary>
    public NodeId Asked { get; init; }

    /// <summary>Attempts in a row, this one not among them, that came to nothing.</summary>
    public int Fruitless { get; init; }

    /// <summary>Nodes that can be asked: so many may be asked in a row without a pause.</summary>
    public int Nodes { get; init; }

    /// <summary>Milliseconds to the request's deadline.</summary>
    public long LeftMs { get; init; }

    /// <summary>Somebody else waits for the answer and decides about another try: an overload is passed on, not waited for.</summary>
    public bool IsRelay { get; init; }
}

/// <summary>What follows from an attempt's end.</summary>
/// <param name="Proves">Of the whole request, this attempt and every earlier one. None for a read.</param>
/// <param name="Next">What to do.</param>
/// <param name="Code">
/// For <see cref="NextStep.Answer"/>: the answer's own code, and the answer is passed on as it is; or another, and it takes the answer's place.
/// </param>
/// <param name="Leader">For <see cref="NextStep.AskLeader"/>.</param>
/// <param name="AfterMs">Pause before the next attempt, milliseconds; 0: at once.</param>
public readonly record struct AttemptVerdict(Outcome Proves, NextStep Next, ErrorCode Code = ErrorCode.None, NodeId Leader = default, int AfterMs = 0);

/// <summary>
/// What an answer or its absence proves of a request, for nodes and clients, and where a node that passes a request on goes next; a client,
/// which has a budget of tries and no node to answer for, chooses its way itself. Pure. A request has one attempt at a time; a write without an id is never sent again once an attempt of
/// it may have been applied. The table of all cases is in docs/wire-protocol.md.
/// </summary>
public static class AttemptRule
{
    /// <summary>First pause after every node has been asked in vain, milliseconds; it doubles from there.</summary>
    public const int FirstPauseMs = 25;

    /// <summary>Longest pause, milliseconds.</summary>
    public const int MaxPauseMs = 400;

    /// <summary>
    /// What one attempt proves about itself. <see cref="Outcome.None"/> for a read; Applied and NotApplied are proofs.
    /// </summary>
    public static Outcome Proves(bool isWrite, AttemptEnd end, KvReply? reply)
    {
        if (!isWrite)
        {
            return Outcome.None;
        }

        return end switch
        {
            AttemptEnd.NotSent => Outcome.NotApplied,
            AttemptEnd.Answered when reply is not null => reply.Code switch
            {
                ErrorCode.None or ErrorCode.NotOnAll or ErrorCode.Superseded => Outcome.Applied,
                _ => reply.Outcome is Outcome.NotApplied or Outcome.Applied ? reply.Outcome : Outcome.Unknown,
            },
            _ => Outcome.Unknown,
        };
    }

    /// <summary>
    /// The answer tells what became of the request when it was executed. Under an id that is what became of every copy; a refusal speaks
    /// of its own copy alone.
    /// </summary>
    public static bool IsResult(KvReply reply) => reply.IsExecuted || reply.Code == ErrorCode.Superseded;

    /// <summary>The code with which a request ends on this answer.</summary>
    /// <returns>The answer's own code, or <see cref="ErrorCode.Indeterminate"/> where that would say more than is known or could be used.</returns>
    public static ErrorCode CodeOf(in AttemptState state, KvReply reply)
    {
        if (!state.IsWrite || (IsResult(reply) && (state.HasId || state.UnknownAttempts == 0)))
        {
            return reply.Code;
        }

        bool speaksOfTheId = reply.Code is ErrorCode.IdempotencyInFlight or ErrorCode.IdempotencyExpired or ErrorCode.IdempotencyReused;
        if (speaksOfTheId && !state.IdIsCallers)
        {
            return ErrorCode.Indeterminate;
        }

        // That the first copy is still in flight is news only to who did not send that one, too.
        return state.UnknownAttempts > 0 && (reply.Outcome == Outcome.NotApplied || reply.Code == ErrorCode.IdempotencyInFlight)
            ? ErrorCode.Indeterminate
            : reply.Code;
    }

    /// <summary>The code with which a request ends whose time is over.</summary>
    /// <param name="state">Attempts that are under way count among the unknown ones.</param>
    /// <param name="leaderIsKnown">A node is believed to lead the group.</param>
    public static ErrorCode CodeAtDeadline(in AttemptState state, bool leaderIsKnown) => state switch
    {
        { IsWrite: true, UnknownAttempts: > 0 } => ErrorCode.Indeterminate,
        { IsWrite: false } when leaderIsKnown => ErrorCode.Timeout,
        _ => ErrorCode.NoLeader,
    };

    /// <summary>What follows from the end of the one attempt under way.</summary>
    /// <param name="state">The request, without this attempt.</param>
    /// <param name="end">How the attempt ended.</param>
    /// <param name="reply">Of <see cref="AttemptEnd.Answered"/>.</param>
    public static AttemptVerdict Next(in AttemptState state, AttemptEnd end, KvReply? reply)
    {
        Outcome proves = Together(state, Proves(state.IsWrite, end, reply), reply);
        bool maySendAgain = !state.IsWrite || state.HasId || proves == Outcome.NotApplied;
        if (end == AttemptEnd.Answered && reply is not null && !IsWorthAnother(state, reply))
        {
            return new AttemptVerdict(proves, NextStep.Answer, CodeOf(state, reply));
        }

        if (!maySendAgain)
        {
            return new AttemptVerdict(proves, NextStep.Answer, ErrorCode.Indeterminate);
        }

        if (state.LeftMs <= 0)
        {
            ErrorCode code = reply switch
            {
                { Code: ErrorCode.Overloaded or ErrorCode.IdempotencyInFlight } => CodeOf(state, reply),
                _ when proves == Outcome.Unknown => ErrorCode.Indeterminate,
                _ => CodeAtDeadline(state, leaderIsKnown: reply?.Code == ErrorCode.Timeout),
            };
            return new AttemptVerdict(proves, NextStep.Answer, code);
        }

        int afterMs = (int)Math.Min(PauseMs(state.Fruitless + 1 - state.Nodes), state.LeftMs);
        switch (reply?.Code)
        {
            case ErrorCode.Overloaded or ErrorCode.Indeterminate or ErrorCode.IdempotencyInFlight:
                int atLeast = Math.Max(Math.Max(afterMs, FirstPauseMs), Math.Min(reply.RetryAfterMs, MaxPauseMs));
                return new AttemptVerdict(proves, NextStep.AskSame, AfterMs: (int)Math.Min(atLeast, state.LeftMs));

            case not null when !reply.LeaderHint.IsNone && reply.LeaderHint != state.Asked:
                return new AttemptVerdict(proves, NextStep.AskLeader, Leader: reply.LeaderHint, AfterMs: afterMs);

            default:
                return new AttemptVerdict(proves, NextStep.AskAnother, AfterMs: afterMs);
        }
    }

    /// <summary>The pause before the n-th time after every node has been asked in vain: 0 for n below 1.</summary>
    public static int PauseMs(int n) => n < 1 ? 0 : Math.Min(FirstPauseMs << Math.Min(n - 1, 8), MaxPauseMs);

    private static Outcome Together(in AttemptState state, Outcome attempt, KvReply? reply)
    {
        if (attempt != Outcome.NotApplied || state.UnknownAttempts == 0)
        {
            return attempt;
        }

        return state.HasId && reply is not null && IsResult(reply) ? Outcome.NotApplied : Outcome.Unknown;
    }

    private static bool IsWorthAnother(in AttemptState state, KvReply reply) => reply.Code switch
    {
        ErrorCode.WrongNode or ErrorCode.NoLeader or ErrorCode.Starting or ErrorCode.Draining or ErrorCode.Timeout => true,
        ErrorCode.Indeterminate or ErrorCode.IdempotencyInFlight => state.IsWrite,
        ErrorCode.Overloaded => !state.IsRelay,
        _ => false,
    };
}
