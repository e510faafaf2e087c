namespace KvStore.Simulation.Tests;

/// <summary>The checker itself: small histories with a known answer, and a naive twin that tries every order.</summary>
public sealed class LinearizabilityCheckerTests
{
    internal static Operation Put(long value, long call, long back, OperationOutcome outcome = OperationOutcome.Ok) =>
        new(0, OperationKind.Put, "k", value, call, outcome == OperationOutcome.Unknown ? long.MaxValue : back, outcome);

    internal static Operation Get(long? result, long call, long back) => new(1, OperationKind.Get, "k", null, call, back, OperationOutcome.Ok, result);

    internal static Operation Add(long delta, long? result, long call, long back, OperationOutcome outcome = OperationOutcome.Ok) =>
        new(2, OperationKind.Increment, "k", delta, call, outcome == OperationOutcome.Unknown ? long.MaxValue : back, outcome, result);

    internal static Operation Create(long value, long call, long back, OperationOutcome outcome) =>
        new(3, OperationKind.Create, "k", value, call, back, outcome);

    internal static Verdict Check(params Operation[] history) => new LinearizabilityChecker().Check(history).Verdict;

    [Fact]
    public void A_read_after_a_write_sees_it() => Assert.Equal(Verdict.Linearizable, Check(Put(1, 0, 1), Get(1, 2, 3)));

    [Fact]
    public void A_read_beside_a_write_may_see_either() =>
        Assert.Equal(Verdict.Linearizable, Check(Put(1, 0, 10), Get(null, 2, 3), Get(1, 4, 5)));

    [Fact]
    public void An_unknown_write_may_take_effect_late_or_never()
    {
        Assert.Equal(Verdict.Linearizable, Check(Put(1, 0, 1), Put(2, 2, 0, OperationOutcome.Unknown), Get(1, 5, 6), Get(2, 7, 8)));
        Assert.Equal(Verdict.Linearizable, Check(Put(1, 0, 1), Put(2, 2, 0, OperationOutcome.Unknown), Get(1, 5, 6), Get(1, 7, 8)));
    }

    [Fact]
    public void A_search_that_is_cut_short_is_no_pass()
    {
        Operation[] hard = [.. Enumerable.Range(0, 12).Select(i => Put(i, 0, 100)), Get(99, 50, 100)];
        Assert.Equal(Verdict.Undecided, new LinearizabilityChecker(maxConfigurations: 100).CheckKey(hard));
    }

    [Fact]
    public void Random_histories_get_the_verdict_of_a_twin_that_tries_every_order()
    {
        var random = new SimulatedRandom(20261121);
        int violations = 0;
        for (int round = 0; round < 9_000; round++)
        {
            Func<SimulatedRandom, int, Operation> draw = (round % 3) switch
            {
                0 => DrawOfRegister,
                1 => DrawOfCounter,
                _ => (r, i) => r.Chance(0.5) ? DrawOfRegister(r, i) : DrawOfCounter(r, i),
            };
            Operation[] history = [.. Enumerable.Range(0, 2 + random.Below(5)).Select(i => draw(random, i))];
            bool expected = TwinFindsAnOrder([.. history], null);
            violations += expected ? 0 : 1;
            Assert.True(
                expected == (new LinearizabilityChecker().CheckKey(history) == Verdict.Linearizable),
                $"round {round}: {string.Join(" | ", history.AsEnumerable())}");
        }

        Assert.InRange(violations, 2_000, 8_000);
    }

    private static Operation DrawOfRegister(SimulatedRandom random, int number)
    {
        (long call, long back, OperationOutcome maybe) = DrawTimes(random);
        return random.Below(8) switch
        {
            < 3 => Get(random.Chance(0.3) ? null : random.Below(5), call, back),
            < 5 => Put(number, call, back, maybe),
            5 => new Operation(4, OperationKind.Delete, "k", null, call, maybe == OperationOutcome.Unknown ? long.MaxValue : back, maybe),
            6 => Create(number, call, maybe == OperationOutcome.Unknown ? long.MaxValue : back, maybe),
            _ => Create(number, call, back, OperationOutcome.ConditionFailed),
        };
    }

    private static Operation DrawOfCounter(SimulatedRandom random, int number)
    {
        (long call, long back, OperationOutcome maybe) = DrawTimes(random);
        long? seen = random.Chance(0.2) ? null : random.Below(5);
        return number % 2 == 0 ? Get(seen, call, back) : Add(1 + random.Below(2), seen ?? 1, call, back, maybe);
    }

    private static (long Call, long Back, OperationOutcome Outcome) DrawTimes(SimulatedRandom random)
    {
        long call = random.Below(8);
        return (call, call + 1 + random.Below(6), random.Chance(0.3) ? OperationOutcome.Unknown : OperationOutcome.Ok);
    }

    private static bool TwinFindsAnOrder(List<Operation> left, long? state)
    {
        if (left.TrueForAll(o => o.Outcome == OperationOutcome.Unknown))
        {
            return true;
        }

        foreach (Operation first in left)
        {
            if (left.Exists(o => o.Return < first.Call))
            {
                continue;
            }

            long? after = first.Kind switch
            {
                OperationKind.Put => first.Value,
                OperationKind.Create when first.Outcome != OperationOutcome.ConditionFailed => first.Value,
                OperationKind.Delete => null,
                OperationKind.Increment => (state ?? 0) + first.Value,
                _ => state,
            };
            bool fits = first.Kind switch
            {
                OperationKind.Get => first.Result == state,
                OperationKind.Create => state is null != (first.Outcome == OperationOutcome.ConditionFailed),
                OperationKind.Increment => first.Outcome == OperationOutcome.Unknown || first.Result == after,
                _ => true,
            };
            if (fits && TwinFindsAnOrder([.. left.Where(o => !ReferenceEquals(o, first))], after))
            {
                return true;
            }
        }

        return false;
    }
}
