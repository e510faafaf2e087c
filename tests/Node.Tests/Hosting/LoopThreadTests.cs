using KvStore.Node.Hosting;

namespace KvStore.Node.Tests.Hosting;

public class LoopThreadTests
{
    [Fact]
    public async Task A_wake_up_before_the_thread_sleeps_is_not_lost()
    {
        var turns = 0;
        var second = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        LoopThread? thread = null;
        thread = new LoopThread("test", Turn, finishesWork: false, Unexpected);
        thread.Start();
        await second.Task.WaitAsync(NodeProgram.Patience);
        await thread.StopAsync();
        thread.Dispose();

        int Turn()
        {
            if (++turns == 1)
            {
                thread!.Wake(); // while it is awake
            }
            else
            {
                second.TrySetResult();
            }

            return Timeout.Infinite;
        }
    }

    [Fact]
    public async Task A_thread_that_finishes_work_stops_only_when_there_is_none()
    {
        var left = 1000;
        using var thread = new LoopThread("test", () => --left > 0 ? 0 : Timeout.Infinite, finishesWork: true, Unexpected);
        thread.Start();
        await thread.StopAsync();
        Assert.True(left <= 0, $"{left} pieces of work were left");
    }

    [Fact]
    public async Task A_failed_turn_ends_the_thread_and_is_reported_once_with_its_name()
    {
        var reported = new TaskCompletionSource<(string, Exception)>();
        using var thread = new LoopThread(
            "n1 log", () => throw new InvalidOperationException("disk"), finishesWork: true, (name, e) => reported.SetResult((name, e)));
        thread.Start();
        var (where, reason) = await reported.Task.WaitAsync(NodeProgram.Patience);
        await thread.StopAsync();
        Assert.Equal("n1 log", where);
        Assert.Equal("disk", reason.Message);
    }

    [Fact]
    public async Task A_thread_that_was_never_started_stops_at_once()
    {
        using var thread = new LoopThread("test", () => 0, finishesWork: true, Unexpected);
        await thread.StopAsync();
    }

    private static void Unexpected(string name, Exception reason) => Assert.Fail($"{name}: {reason}");
}
