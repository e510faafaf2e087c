using System.Diagnostics;
using KvStore.Node.Hosting;

namespace KvStore.Node.Tests.Hosting;

public sealed class ParkingTests
{
    /// <summary>Two threads that wake each other and then sleep for ever: one lost wake-up and both sleep.</summary>
    [Fact]
    public async Task No_wake_up_is_lost_between_two_threads_that_only_sleep_and_wake()
    {
        const int Rounds = 200_000;
        using var ping = new Parking();
        using var pong = new Parking();
        int turn = 0;
        Task first = Alone(() => Play(ping, pong, mine: 0));
        Task second = Alone(() => Play(pong, ping, mine: 1));
        await Task.WhenAll(first, second).WaitAsync(NodeProgram.Patience);
        Assert.Equal(2 * Rounds, turn);

        void Play(Parking own, Parking other, int mine)
        {
            for (int round = 0; round < Rounds; round++)
            {
                while ((Volatile.Read(ref turn) & 1) != mine)
                {
                    own.Sleep(Timeout.Infinite);
                }

                turn++;
                other.Wake();
            }
        }
    }

    /// <summary>Work that comes from many threads while the one that does it falls asleep again and again.</summary>
    [Fact]
    public async Task Work_that_is_posted_by_many_threads_is_always_seen()
    {
        const int Posts = 50_000;
        const int Posters = 4;
        using var parking = new Parking();
        int work = 0;
        int done = 0;
        Task worker = Alone(() =>
        {
            while (done < Posts * Posters)
            {
                int taken = Interlocked.Exchange(ref work, 0);
                done += taken;
                if (taken == 0)
                {
                    parking.Sleep(Timeout.Infinite);
                }
            }
        });
        Task[] posters = [.. Enumerable.Range(0, Posters).Select(_ => Alone(() =>
        {
            for (int post = 0; post < Posts; post++)
            {
                Interlocked.Increment(ref work);
                parking.Wake();
            }
        }))];
        await Task.WhenAll([worker, .. posters]).WaitAsync(NodeProgram.Patience);
        Assert.Equal(Posts * Posters, done);
    }

    [Fact]
    public void A_wake_up_before_the_sleep_ends_it_at_once_and_counts_once()
    {
        using var parking = new Parking();
        parking.Wake();
        parking.Wake();
        parking.Sleep(Timeout.Infinite);
        long started = Stopwatch.GetTimestamp();
        parking.Sleep(30);
        Assert.InRange(Stopwatch.GetElapsedTime(started).TotalMilliseconds, 25, 20_000);
    }

    private static Task Alone(Action body) => Task.Factory.StartNew(body, TaskCreationOptions.LongRunning);
}
