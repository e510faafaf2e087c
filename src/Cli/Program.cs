using KvStore.Cli;

return await Kvctl.RunAsync(args, Console.Out, Console.Error, Console.In);
