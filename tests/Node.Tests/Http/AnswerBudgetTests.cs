using KvStore.Node.Http;

namespace KvStore.Node.Tests.Http;

public sealed class AnswerBudgetTests
{
    [Fact]
    public async Task Who_waits_gets_its_turn_and_nobody_passes()
    {
        var budget = new AnswerBudget(100);
        Assert.True(budget.TryTake(90));
        Task<bool> large = budget.TakeAsync(50, 60_000, default).AsTask();
        Task<bool> small = budget.TakeAsync(5, 60_000, default).AsTask();
        Assert.False(budget.TryTake(5));
        Assert.False(large.IsCompleted || small.IsCompleted);
        budget.Return(40);
        Assert.True(await large);
        Assert.False(small.IsCompleted);
        budget.Return(50);
        Assert.True(await small);
        Assert.Equal(55, budget.HeldBytes);
    }

    [Fact]
    public async Task Who_gives_up_takes_nothing_and_makes_room_for_those_behind()
    {
        var budget = new AnswerBudget(100);
        Assert.True(budget.TryTake(90));
        using var gone = new CancellationTokenSource();
        Task<bool> first = budget.TakeAsync(50, 60_000, gone.Token).AsTask();
        Task<bool> second = budget.TakeAsync(10, 60_000, default).AsTask();
        await gone.CancelAsync();
        Assert.False(await first);
        Assert.True(await second);
        Assert.False(await budget.TakeAsync(10, 0, default));
        Assert.Equal(100, budget.HeldBytes);
    }

    [Fact]
    public async Task A_share_gives_back_all_that_is_left_of_it()
    {
        var budget = new AnswerBudget(100);
        using (var share = new AnswerShare(budget))
        {
            Assert.True(share.TryTake(60));
            Assert.False(share.TryTake(60));
            share.Return(20);
            Assert.True(await share.TakeAsync(60, 0, default));
            Assert.Equal(100, share.Bytes);
        }

        Assert.Equal(0, budget.HeldBytes);
    }
}
