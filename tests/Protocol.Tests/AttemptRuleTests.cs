namespace KvStore.Protocol.Tests;

/// <summary>What an answer or its absence proves, and where to go next: every case there is, against the words of docs/wire-protocol.md.</summary>
public sealed class AttemptRuleTests
{
    private static readonly NodeId Asked = new(1);
    private static readonly NodeId Other = new(2);

    private static readonly ErrorCode[] Executed =
        [ErrorCode.None, ErrorCode.KeyNotFound, ErrorCode.ConditionFailed, ErrorCode.NotANumber, ErrorCode.NotOnAll, ErrorCode.Superseded];

    private static readonly ErrorCode[] SendOnward =
        [ErrorCode.WrongNode, ErrorCode.NoLeader, ErrorCode.Starting, ErrorCode.Draining, ErrorCode.Timeout];

    public static IEnumerable<object[]> Cases =>
        from isWrite in new[] { false, true }
        from hasId in new[] { false, true }
        from isCallers in new[] { false, true }
        from unknown in new[] { 0, 1, 3 }
        from left in new long[] { -5, 0, 40, 5000 }
        from isRelay in new[] { false, true }
        select new object[] { new AttemptState
        {
            IsWrite = isWrite, HasId = hasId, IdIsCallers = isCallers, UnknownAttempts = unknown, Asked = Asked, Nodes = 3, LeftMs = left, IsRelay = isRelay,
        } };

    /// <summary>The promises that hold for every end of every attempt in every state.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void No_end_of_an_attempt_breaks_a_promise(AttemptState state)
    {
        Assert.Null(BrokenPromise(state, AttemptRule.Next));
    }

    /// <summary>The control: each rule broken by hand is noticed by the promises above.</summary>
    [Theory]
    [InlineData("a refusal wipes out an unknown attempt")]
    [InlineData("silence proves nothing was written")]
    [InlineData("a write without an id is sent twice")]
    [InlineData("an id nobody knows is told")]
    [InlineData("asked again after the deadline")]
    [InlineData("an overload is waited for by a relay")]
    [InlineData("no pause")]
    public void A_rule_that_is_broken_is_noticed(string mutant)
    {
        Rule broken = (in AttemptState state, AttemptEnd end, KvReply? reply) =>
        {
            AttemptVerdict right = AttemptRule.Next(state, end, reply);
            return mutant switch
            {
                "a refusal wipes out an unknown attempt" => AttemptRule.Next(reply is null ? state : state with { UnknownAttempts = 0 }, end, reply),
                "silence proves nothing was written" =>
                    AttemptRule.Next(state, end is AttemptEnd.Silent or AttemptEnd.Lost ? AttemptEnd.NotSent : end, reply),
                "a write without an id is sent twice" => AttemptRule.Next(state with { HasId = true }, end, reply),
                "an id nobody knows is told" => AttemptRule.Next(state with { IdIsCallers = true }, end, reply),
                "asked again after the deadline" => AttemptRule.Next(state with { LeftMs = Math.Max(state.LeftMs, 1) }, end, reply),
                "an overload is waited for by a relay" => AttemptRule.Next(state with { IsRelay = false }, end, reply),
                _ => right with { AfterMs = 0 },
            };
        };
        Assert.Contains(Cases, c => BrokenPromise((AttemptState)c[0], broken) is not null);
    }

    /// <summary>
    /// Random lives of a write: each attempt did what it did, and is answered, late, lost or silent. Whatever the rule says at the end is
    /// true of what happened.
    /// </summary>
    [Fact]
    public void Over_random_lives_of_a_write_no_word_is_false()
    {
        for (int seed = 1; seed <= 20_000; seed++)
        {
            Assert.Null(FalseWord(new Random(seed), AttemptRule.Next));
        }
    }

    [Fact]
    public void Over_random_lives_a_refusal_that_wipes_out_an_unknown_attempt_is_noticed() =>
        Assert.Contains(Enumerable.Range(1, 2000), seed => FalseWord(
            new Random(seed), (in AttemptState s, AttemptEnd e, KvReply? r) => AttemptRule.Next(s with { UnknownAttempts = 0 }, e, r)) is not null);

    [Theory]
    [InlineData(-1, 0)]
    [InlineData(0, 0)]
    [InlineData(1, 25)]
    [InlineData(2, 50)]
    [InlineData(5, 400)]
    [InlineData(1_000_000, 400)]
    public void Pauses_double_up_to_a_limit(int n, int ms) => Assert.Equal(ms, AttemptRule.PauseMs(n));

    [Fact]
    public void Twelve_seconds_without_a_leader_cost_a_few_dozen_attempts()
    {
        int attempts = 0;
        for (long left = 12_000; left > 0; attempts++)
        {
            var state = new AttemptState { IsWrite = true, HasId = true, Asked = Asked, Nodes = 3, Fruitless = attempts, LeftMs = left };
            left -= 1 + AttemptRule.Next(state, AttemptEnd.Answered, Reply(ErrorCode.WrongNode)).AfterMs;
        }

        Assert.InRange(attempts, 10, 60);
    }

    [Theory]
    [InlineData(true, 0, true, ErrorCode.NoLeader)]
    [InlineData(true, 0, false, ErrorCode.NoLeader)]
    [InlineData(true, 1, true, ErrorCode.Indeterminate)]
    [InlineData(true, 2, false, ErrorCode.Indeterminate)]
    [InlineData(false, 0, true, ErrorCode.Timeout)]
    [InlineData(false, 0, false, ErrorCode.NoLeader)]
    public void At_the_deadline_it_is_said_what_is_known(bool isWrite, int unknown, bool leaderIsKnown, ErrorCode code) =>
        Assert.Equal(code, AttemptRule.CodeAtDeadline(new AttemptState { IsWrite = isWrite, UnknownAttempts = unknown }, leaderIsKnown));

    private delegate AttemptVerdict Rule(in AttemptState state, AttemptEnd end, KvReply? reply);

    private static KvReply Reply(ErrorCode code) => new() { Code = code, Outcome = ErrorCodes.Of(code).Outcome };

    /// <summary>Every end: four without an answer's code, and every code with and without a hint.</summary>
    private static IEnumerable<(AttemptEnd End, KvReply? Reply)> Ends() =>
    [
        (AttemptEnd.NotSent, null), (AttemptEnd.Lost, null), (AttemptEnd.Silent, null),
        .. from code in Enum.GetValues<ErrorCode>()
           from hint in new[] { NodeId.None, Asked, Other }
           select (AttemptEnd.Answered, (KvReply?)(Reply(code) with { LeaderHint = hint, RetryAfterMs = 100 })),
        (AttemptEnd.Answered, Reply(ErrorCode.TooLarge) with { Result = new Current(7) }),
    ];

    private static string? BrokenPromise(AttemptState state, Rule rule)
    {
        foreach ((AttemptEnd end, KvReply? reply) in Ends())
        {
            AttemptVerdict first = rule(state, end, reply);
            AttemptVerdict late = rule(state with { Fruitless = 50 }, end, reply);
            string where = $"{state}, {end} {reply?.Code}: {first}";
            bool isExecuted = reply is not null && (Executed.Contains(reply.Code) || reply.Result is not null);
            bool leavesDoubt = end is AttemptEnd.Lost or AttemptEnd.Silent || (reply is not null && reply.Outcome is Outcome.Unknown or Outcome.None && !isExecuted);
            bool isAnswer = first.Next == NextStep.Answer;
            bool saysNotApplied = first.Proves == Outcome.NotApplied || (isAnswer && !isExecuted && ErrorCodes.Of(first.Code).Outcome == Outcome.NotApplied);
            if (state.IsWrite && saysNotApplied && !isExecuted && (leavesDoubt || state.UnknownAttempts > 0))
            {
                return $"says that nothing was written without a proof: {where}";
            }

            if (state is { IsWrite: true, HasId: false } && !isAnswer && (leavesDoubt || state.UnknownAttempts > 0))
            {
                return $"sends a write twice that may execute twice: {where}";
            }

            if (isAnswer && state is { IsWrite: true, IdIsCallers: false }
                && first.Code is ErrorCode.IdempotencyInFlight or ErrorCode.IdempotencyExpired or ErrorCode.IdempotencyReused)
            {
                return $"tells the caller of an id it has never heard of: {where}";
            }

            if (state.LeftMs <= 0 && !isAnswer)
            {
                return $"goes on after the deadline: {where}";
            }

            if (isExecuted && (state.HasId || !state.IsWrite || state.UnknownAttempts == 0) && (!isAnswer || first.Code != reply!.Code))
            {
                return $"does not pass on a result: {where}";
            }

            if (state.IsRelay && reply?.Code == ErrorCode.Overloaded && !isAnswer)
            {
                return $"holds an overload back: {where}";
            }

            if (state.LeftMs > 0 && SendOnward.Contains(reply?.Code ?? ErrorCode.None)
                && (state.UnknownAttempts == 0 || state.HasId) && (reply!.Outcome == Outcome.NotApplied || !state.IsWrite) && isAnswer)
            {
                return $"gives up while there is time: {where}";
            }

            if (late.Next != NextStep.Answer && (late.AfterMs < Math.Min(AttemptRule.MaxPauseMs, state.LeftMs) || late.AfterMs > state.LeftMs))
            {
                return $"asks without a pause after fifty in vain, or pauses past the deadline: {where}";
            }

            if (first.Next == NextStep.AskLeader && (first.Leader.IsNone || first.Leader == Asked))
            {
                return $"asks the one again that has just said it is not the leader: {where}";
            }
        }

        return null;
    }

    private static string? FalseWord(Random random, Rule rule)
    {
        bool applied = false;
        bool mayYetApply = false;
        int unknown = 0;
        for (int attempt = 0; attempt < 20; attempt++)
        {
            var state = new AttemptState
            {
                IsWrite = true,
                HasId = true,
                IdIsCallers = random.Next(2) == 0,
                UnknownAttempts = unknown,
                Asked = Asked,
                Fruitless = attempt,
                Nodes = 3,
                LeftMs = 5000 - (attempt * 400),
                IsRelay = random.Next(2) == 0,
            };
            int course = random.Next(6);
            (AttemptEnd end, KvReply? reply) = course switch
            {
                0 => (AttemptEnd.NotSent, null),
                1 => (random.Next(2) == 0 ? AttemptEnd.Lost : AttemptEnd.Silent, (KvReply?)null),
                2 => (AttemptEnd.Answered, Reply(ErrorCode.Indeterminate)),
                3 => (AttemptEnd.Answered, Reply(random.Next(2) == 0 ? ErrorCode.WrongNode : ErrorCode.Starting)),
                4 => (AttemptEnd.Answered, Reply(random.Next(2) == 0 ? ErrorCode.Overloaded : ErrorCode.DiskFull)),
                _ => (AttemptEnd.Answered, new KvReply { Outcome = Outcome.Applied, Result = new Written(7, true) }),
            };
            if (course is 1 or 2)
            {
                unknown++;
                bool executes = random.Next(2) == 0;
                applied |= executes;
                mayYetApply |= !executes;
            }

            applied |= course == 5;
            AttemptVerdict verdict = rule(state, end, reply);
            if (verdict.Next == NextStep.Answer)
            {
                Outcome said = verdict.Code == reply?.Code ? reply.Outcome : ErrorCodes.Of(verdict.Code).Outcome;
                return (said == Outcome.NotApplied && (applied || mayYetApply)) || (said == Outcome.Applied && !applied) ? $"{verdict} after {unknown}" : null;
            }
        }

        return null;
    }
}
