using KvStore.Client.Routing;

namespace KvStore.Client.Tests;

public sealed class WriteIdsTests
{
    [Fact]
    public void The_floor_is_the_lowest_number_that_is_open_whatever_the_order_in_which_writes_end()
    {
        const int Seed = 5_150;
        var random = new Random(Seed);
        var ids = new WriteIds(TimeProvider.System);
        var open = new List<WriteIds.WriteId>();
        ulong next = 1;
        for (int i = 0; i < 20_000; i++)
        {
            if (open.Count == 0 || random.Next(open.Count < 50 ? 2 : 4) == 0)
            {
                WriteIds.WriteId id = ids.Begin();
                open.Add(id);
                Assert.Equal(next++, id.Id.Sequence);
                Assert.Equal(open.Min(one => one.Id.Sequence), id.Id.AckedBelow);
            }
            else
            {
                int ended = random.Next(open.Count);
                ids.Ended(open[ended], known: true);
                open.RemoveAt(ended);
            }
        }
    }

    [Fact]
    public void After_an_unknown_outcome_later_writes_are_of_another_series_and_the_old_floor_stays()
    {
        var ids = new WriteIds(TimeProvider.System);
        WriteIds.WriteId first = ids.Begin();
        WriteIds.WriteId second = ids.Begin();
        ids.Ended(first, known: false);
        ids.Ended(second, known: true);
        WriteIds.WriteId later = ids.Begin();
        Assert.NotEqual(first.Id.Client, later.Id.Client);
        Assert.Equal((1UL, 1UL), (later.Id.Sequence, later.Id.AckedBelow));
        Assert.Equal(1UL, first.Series.Lowest);
    }

    [Fact]
    public void A_budget_gives_what_was_saved_up_and_its_share_of_the_calls()
    {
        var budget = new RetryBudget(0.2, 3);
        Assert.Equal([true, true, true, false], Enumerable.Range(0, 4).Select(_ => budget.TryTake()));
        for (int i = 0; i < 5; i++)
        {
            budget.OnCall();
        }

        Assert.True(budget.TryTake());
        Assert.False(budget.TryTake());
    }
}
