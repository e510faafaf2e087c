using System.Runtime.InteropServices;
using KvStore.LoadTests.CommandLine;
using KvStore.LoadTests.Commands;
using KvStore.LoadTests.Servers;

Command[] commands =
[
    RunCommand.Create(), BenchCommand.Create(), LevelsCommand.Create(), AllocationsCommand.Create(), FillCommand.Create(), RestartCommand.Create(),
    ChaosCommand.Create(), ChaosCommand.CreateCheck(), CatchUpCommand.Create(), HostileCommand.Create(), HostileCommand.CreateAttack(),
    FuzzCommand.Create(), EnduranceCommand.CreateOverload(), EnduranceCommand.CreateSoak(),
];

var command = commands.FirstOrDefault(known => args.Length > 0 && known.Name == args[0]);
if (command is null || args.Contains("--help"))
{
    Console.WriteLine("usage: dotnet run -c Release --project loadtests -- COMMAND [options]\n");
    foreach (var known in command is null ? commands : [command])
    {
        known.WriteHelp(Console.Out);
    }

    return args.Length == 0 || args.Contains("--help") ? ExitCode.Success : ExitCode.NoVerdict;
}

using var interrupted = new CancellationTokenSource();
void Interrupt(PosixSignalContext signal)
{
    // The first one ends the run properly (chaos stops its servers), the second one ends the process.
    signal.Cancel = !interrupted.IsCancellationRequested;
    interrupted.Cancel();
}

using var onInterrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Interrupt);
using var onTerminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Interrupt);
try
{
    return await command.RunAsync(new Arguments(args[1..], command.Options), interrupted.Token);
}
catch (Exception e) when (e is UsageException or ServersException)
{
    await Console.Error.WriteLineAsync($"{command.Name}: {e.Message}");
    return ExitCode.NoVerdict;
}
catch (OperationCanceledException) when (interrupted.IsCancellationRequested)
{
    await Console.Error.WriteLineAsync($"{command.Name}: interrupted");
    return ExitCode.NoVerdict;
}
