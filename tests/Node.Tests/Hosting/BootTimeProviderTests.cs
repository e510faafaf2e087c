using KvStore.Node.Hosting;

namespace KvStore.Node.Tests.Hosting;

public class BootTimeProviderTests
{
    [Fact]
    public void Timestamps_are_nanoseconds_since_the_machine_booted()
    {
        var uptime = double.Parse(File.ReadAllText("/proc/uptime").Split(' ')[0]); // counts suspended time, as CLOCK_BOOTTIME does
        var time = new BootTimeProvider();
        var elapsed = time.GetElapsedTime(0, time.GetTimestamp());
        Assert.InRange(elapsed.TotalSeconds - uptime, -1, 60);
    }

    [Fact]
    public void Timestamps_never_go_back()
    {
        var time = new BootTimeProvider();
        var last = time.GetTimestamp();
        for (var i = 0; i < 1000; i++)
        {
            var now = time.GetTimestamp();
            Assert.True(now >= last);
            last = now;
        }
    }
}
